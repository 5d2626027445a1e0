// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a TLS client or server shows of itself. */
export interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
}

const KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/**
 * Test only: certificates in a directory of their own. NAME.pem is a certificate, NAME.key its key;
 * all are for 127.0.0.1, and for authorities and their clients too.
 */
export class Certificates implements Disposable {
  readonly directory: string = mkdtempSync(join(tmpdir(), "lightvm-tls-"));

  /** Makes authorities that nobody has heard of. */
  authorities(...names: string[]): this {
    for (const name of names) {
      this.#openssl(
        `req -x509 ${KEY} -keyout ${name}.key -out ${name}.pem -subj /CN=${name} -days 2`,
      );
    }
    return this;
  }

  /** Has an authority vouch for each of these. */
  issue(authority: string, ...names: string[]): this {
    writeFileSync(this.file("names"), "subjectAltName=IP:127.0.0.1\n");
    for (const name of names) {
      this.#openssl(`req ${KEY} -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`);
      const by = `-CA ${authority}.pem -CAkey ${authority}.key -CAcreateserial`;
      this.#openssl(`x509 -req -in ${name}.csr ${by} -extfile names -days 2 -out ${name}.pem`);
    }
    return this;
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  read(name: string): Buffer {
    return readFileSync(this.file(name));
  }

  identity(name: string): Identity {
    return { cert: this.read(`${name}.pem`), key: this.read(`${name}.key`) };
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }

  #openssl(line: string): void {
    execFileSync("openssl", line.split(" "), { cwd: this.directory, stdio: "pipe" });
  }
}
