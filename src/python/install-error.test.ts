import { expect, test } from "vitest";
import { installError } from "./install-error.ts";

const explain = (output: string) =>
  installError({
    task: "install the Python packages",
    output,
    folders: ["/home/me/.cache/moxi/python", "/big/uv"],
    bytes: 7e9,
  });

test("an index that cannot be reached, without the password in its address", () => {
  const error = explain(`Using Python 3.11.7 environment at: v
error: Request failed after 3 retries in 6.7s
  cause: Failed to fetch: https://me:secret@index.example/simple/trl/
  cause: error sending request for url (https://me:secret@index.example/simple/trl/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)
`);
  expect(error).toMatchObject({
    code: "E_NETWORK",
    exitCode: 8,
    message: "could not install the Python packages: index.example cannot be reached",
  });
  expect(error.hint).toContain("HTTPS_PROXY");
  expect(error.hint).toContain("UV_DEFAULT_INDEX");
  expect(error.details.at(0)).toBe("Request failed after 3 retries in 6.7s");
  expect(error.details.at(-1)).toBe("Connection refused (os error 111)");
  expect(JSON.stringify(error)).not.toContain("secret");
});

test("a password with an @ in it is not shown in part", () => {
  const error = explain("error: Failed to fetch: `https://me:top@secret@index.example/simple/`");
  expect(JSON.stringify(error)).not.toMatch(/top|secret/);
});

test.for([
  ["invalid peer certificate: UnknownIssuer", "E_NETWORK", "SSL_CERT_FILE"],
  [
    "HTTP status client error (401 Unauthorized) for url (https://index.example/a)",
    "E_PYTHON_INSTALL",
    "user name and password",
  ],
  [
    "  × Failed to download `numpy==2.4.6`\n  ╰─▶ Hash mismatch for `numpy==2.4.6`",
    "E_PYTHON_INSTALL",
    "UV_DEFAULT_INDEX",
  ],
  [
    "HTTP status server error (503 Service Unavailable) for url (https://index.example/a)",
    "E_NETWORK",
    "check the network",
  ],
  [
    "Network connectivity is disabled, but the network was disabled",
    "E_NETWORK",
    "check the network",
  ],
] as const)("%s", ([output, code, hint]) => {
  expect(explain(output)).toMatchObject({ code, hint: expect.stringContaining(hint) });
});

test("a full disk is the one that the file was written to", () => {
  const error = explain(`Resolved 69 packages in 215ms
warning: Failed to hardlink files; falling back to full copy. This may lead to degraded performance.
         If the cache and target directories are on different filesystems, hardlinking may not be supported.
error: Failed to install: torch.whl (torch==2.15.0)
  cause: failed to copy file from /big/uv/archive-v0/7o/libtorch.so to /home/me/.cache/moxi/python/.x/.tmpX: No space left on device (os error 28)
`);
  expect(error).toMatchObject({
    code: "E_DISK_FULL",
    message:
      "not enough space on the disk that holds /home/me/.cache/moxi/python: the Python packages take about 7.0 GB",
    place: { file: "/home/me/.cache/moxi/python" },
  });
  expect(error.details[0]).toBe("Failed to install: torch.whl (torch==2.15.0)");
  expect(
    explain(
      "  cause: failed to write to file `/big/uv/.tmp7/GMT-4`: No space left on device (os error 28)",
    ).place,
  ).toEqual({ file: "/big/uv" });
});

test("what nobody foresaw is passed on, its terminal codes made visible", () => {
  expect(explain("error: \u001b[31mbroken\n  cause: deeply")).toMatchObject({
    code: "E_PYTHON_INSTALL",
    message: "could not install the Python packages: \\u001b[31mbroken",
    details: ["\\u001b[31mbroken", "deeply"],
  });
  expect(explain("").message).toContain("ended without a word");
});
