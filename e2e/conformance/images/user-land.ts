// SPDX-License-Identifier: Apache-2.0
import { runInDebian } from "../../../native/build/debian-folder.ts";
import type { LayerEntry } from "../../framework/oci-image.ts";
import { directory, file, filesOf, hardLink, SKELETON } from "./layers.ts";

const BUSYBOX = "usr/bin/busybox";

/**
 * busybox under all its names, by hard links: a spec masks /bin/ls and nothing else. What Debian
 * leaves out of it and specs call comes from the whole programs.
 */
export async function userLand(folder: string): Promise<readonly LayerEntry[]> {
  const applets = (await runInDebian(folder, "busybox --list")).trim().split("\n");
  return [
    ...SKELETON,
    ...(await filesOf(folder, [`/${BUSYBOX}`, "/usr/bin/pgrep", "/usr/bin/ipcs"])),
    ...applets.map((name): LayerEntry => hardLink(`usr/bin/${name}`, BUSYBOX)),
  ];
}

/** nginx as master and worker, which serves one page on `port`. */
export async function nginx(folder: string, port: number): Promise<readonly LayerEntry[]> {
  const settings = `
user www-data;
pid /run/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  server { listen ${port}; root /var/www; }
}
`;
  return [
    ...(await filesOf(folder, ["/usr/sbin/nginx"])),
    directory("etc/nginx"),
    file("etc/nginx/nginx.conf", settings),
    directory("var/lib"),
    directory("var/lib/nginx"),
    directory("var/log/nginx"),
    directory("var/www"),
    file("var/www/index.html", "served by nginx\n"),
  ];
}

const HTTPD_MODULES = ["mpm_event", "authz_core", "dir"];
/** The C library loads it by name when a thread ends; without it, it ends the process. */
const UNWINDER = "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1";

/** Apache's server under the name that its own image gives it, with its log on standard error. */
export async function httpd(folder: string): Promise<readonly LayerEntry[]> {
  const path = (module: string) => `/usr/lib/apache2/modules/mod_${module}.so`;
  const settings = [
    ...HTTPD_MODULES.map((module) => `LoadModule ${module}_module ${path(module)}`),
    "ServerName localhost",
    "Listen 80",
    "User www-data",
    "Group www-data",
    "PidFile /run/httpd.pid",
    "ErrorLog /proc/self/fd/2",
    "StartServers 1",
    "DocumentRoot /var/www",
    "DirectoryIndex index.html\n",
  ].join("\n");
  return [
    ...(await filesOf(folder, ["/usr/sbin/apache2", UNWINDER, ...HTTPD_MODULES.map(path)])),
    hardLink("usr/sbin/httpd", "usr/sbin/apache2"),
    directory("etc/apache2"),
    file("etc/apache2/apache2.conf", settings),
    directory("var/www"),
    file("var/www/index.html", "served by httpd\n"),
  ];
}
