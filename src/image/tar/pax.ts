// SPDX-License-Identifier: Apache-2.0

/** Records of a pax extended header: "LENGTH KEY=VALUE\n", LENGTH counts all of the record. */

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;
/** Digits of the longest LENGTH that is read. */
const MAX_LENGTH_DIGITS = 10;

/** Values by key, the last one of each; undefined when the bytes are no such records. */
export function parsePax(bytes: Buffer): Map<string, Buffer> | undefined {
  const records = new Map<string, Buffer>();
  for (let start = 0; start < bytes.length; ) {
    const space = bytes.indexOf(SPACE, start);
    if (space < 0 || space - start > MAX_LENGTH_DIGITS) return undefined;
    const digits = bytes.toString("latin1", start, space);
    const end = start + Number(digits);
    if (!/^\d+$/.test(digits) || end > bytes.length || end < space + 3) return undefined;
    const equals = bytes.indexOf(EQUALS, space);
    if (equals <= space + 1 || equals >= end || bytes[end - 1] !== NEWLINE) return undefined;
    // A copy: the bytes live in a window that is filled again.
    const value = Buffer.from(bytes.subarray(equals + 1, end - 1));
    records.set(bytes.toString("latin1", space + 1, equals), value);
    start = end;
  }
  return records;
}

/** Writes records; keys hold one byte a character. */
export function encodePax(records: Iterable<readonly [string, Uint8Array]>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [key, value] of records) {
    const payload = key.length + value.length + 3;
    let length = payload + String(payload).length;
    // The digits of the length may themselves make it one digit longer.
    length = payload + String(length).length;
    parts.push(Buffer.from(`${length} ${key}=`, "latin1"), value, Buffer.from("\n"));
  }
  return Buffer.concat(parts);
}
