// SPDX-License-Identifier: Apache-2.0

/** Tells whoever waits what is being measured now. */
export function say(what: string): void {
  const time = new Date().toISOString().slice(11, 19);
  console.error(`${time} [bench] ${what}`);
}

/** Takes so many samples of something, telling each. */
export async function repeat<T>(
  what: string,
  times: number,
  sample: (i: number) => Promise<T>,
): Promise<T[]> {
  const samples: T[] = [];
  for (let i = 0; i < times; i++) {
    say(`${what} ${i + 1}/${times}`);
    samples.push(await sample(i));
  }
  return samples;
}
