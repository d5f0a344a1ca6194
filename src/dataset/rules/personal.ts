/** Places that standards keep for examples, and addresses that belong to nobody. */
const nobody =
  /@(?:example\.(?:com|org|net)|[\w.-]*\.(?:example|test|invalid|localhost)|(?:your|my)?(?:domain|company|email)\.com)$|^(?:no-?reply|git)@/i;
const email =
  /(?<![\w.+/:-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}(?![\w@])/g;
const phone =
  /(?<![\w.+/=-])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w/-]|\.\d)/g;
const card = /(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)/g;
const iban = /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g;
const address = /(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)/g;

/** The kinds of personal data in a text that may have an address or a long number. */
export function findPersonal(
  text: string,
  may: { readonly mail: boolean; readonly number: boolean },
): string[] {
  const found: string[] = [];
  if (may.mail && matches(text, email, (value) => !nobody.test(value)))
    found.push("an e-mail address");
  if (!may.number) return found;
  if (matches(text, phone, isPhone)) found.push("a phone number");
  if (matches(text, card, isCard)) found.push("a card number");
  if (matches(text, iban, isIban)) found.push("a bank account (IBAN)");
  if (matches(text, address, isPublicAddress)) found.push("an IP address");
  return found;
}

function matches(text: string, pattern: RegExp, accept: (value: string) => boolean): boolean {
  for (const [value] of text.matchAll(pattern)) if (accept(value)) return true;
  return false;
}

/** 7 to 15 digits (E.164), and not the numbers that films have: 555-01xx. */
function isPhone(value: string): boolean {
  const digits = value.replace(/\D/g, "");
  return (
    digits.length >= 9 && digits.length <= 15 && !/555-?01\d\d$/.test(value.replace(/[ .]/g, "-"))
  );
}

/** Luhn's sum, and the first digits of the networks; test cards that processors publish are nobody's. */
function isCard(value: string): boolean {
  const digits = value.replace(/\D/g, "");
  if (
    !/^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6(?:011|5\d\d)\d{12})$/.test(
      digits,
    )
  ) {
    return false;
  }
  if (/^(?:4242424242424242|4111111111111111|5555555555554444|378282246310005)$/.test(digits))
    return false;
  let sum = 0;
  for (let index = 0; index < digits.length; index++) {
    const value = Number(digits[digits.length - 1 - index]);
    sum += index % 2 === 0 ? value : value > 4 ? 2 * value - 9 : 2 * value;
  }
  return sum % 10 === 0;
}

/** ISO 13616: the check digits make the number 1 modulo 97. */
function isIban(value: string): boolean {
  const plain = value.replaceAll(" ", "");
  if (plain.length < 15 || plain.length > 34) return false;
  let rest = 0;
  for (const char of plain.slice(4) + plain.slice(0, 4)) {
    const number = parseInt(char, 36);
    rest = (rest * (number > 9 ? 100 : 10) + number) % 97;
  }
  return rest === 1;
}

/** Not of a private, local, documentation or multicast network, and no version number. */
function isPublicAddress(value: string): boolean {
  const [a, b, c] = value.split(".").map(Number) as [number, number, number];
  if (value.split(".").some((part) => Number(part) > 255 || /^0\d/.test(part))) return false;
  if (a < 11 || a === 127 || a >= 224) return false;
  if (a === 192 && (b === 168 || b === 0)) return false;
  if (a === 172 && b >= 16 && b < 32) return false;
  if (a === 169 && b === 254) return false;
  return !((a === 198 && b === 51 && c === 100) || (a === 203 && b === 0 && c === 113));
}
