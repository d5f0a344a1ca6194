"""Makes a wheel of a package as it is installed here, under a version that tells it apart.

    python repack.py PACKAGE LABEL FOLDER

Prints {"name", "version", "file"} of the wheel: PACKAGE at its version here with "+LABEL".
"""

import base64
import hashlib
import importlib.metadata
import json
import re
import sys
import zipfile
from pathlib import Path

LEFT_BY_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def repack(package: str, label: str, folder: Path) -> dict[str, str]:
    installed = importlib.metadata.distribution(package)
    version = f"{installed.version}+{label}"
    name = re.sub(r"[-_.]+", "_", package)
    info = f"{name}-{version}.dist-info"
    files: dict[str, bytes] = {}
    for path in installed.files or ():
        inside = path.parts[0].endswith(".dist-info")
        if path.parts[0] == ".." or path.suffix == ".pyc":
            continue
        if inside and path.name in LEFT_BY_INSTALLERS:
            continue
        place = "/".join([info, *path.parts[1:]]) if inside else str(path)
        files[place] = Path(installed.locate_file(path)).read_bytes()
    metadata = files[f"{info}/METADATA"]
    files[f"{info}/METADATA"] = re.sub(
        rb"(?m)^Version: .*$", b"Version: " + version.encode(), metadata, count=1
    )
    record = "".join(f"{place},{_digest(data)},{len(data)}\n" for place, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    tag = re.search(r"(?m)^Tag: (\S+)", files[f"{info}/WHEEL"].decode())[1]
    file = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(folder / file, "w", zipfile.ZIP_DEFLATED) as wheel:
        for place, data in files.items():
            wheel.writestr(place, data)
    return {"name": package, "version": version, "file": file}


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


if __name__ == "__main__":
    print(json.dumps(repack(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
