#!/usr/bin/env python3
"""Makes the images that critest and the crictl script use, and pushes them to a registry over plain HTTP.

Everything comes from this machine's Debian: the static busybox, nginx with its libraries, two small C programs, and as
the shell a dynamic busybox (test/tools/build fetches it). The names are those that critest 1.36 pulls, less the
registry's host, so that a mirror of registry.k8s.io and gcr.io serves them.

usage: push_images.py HOST:PORT DYNAMIC_BUSYBOX       prints a line "NAME DIGEST" for every manifest
"""
import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request

OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
default-user:x:1000:1000:a user:/home/default-user:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = """\
root:x:0:
daemon:x:1:
www-data:x:33:
users:x:100:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
nogroup:x:65534:
"""
PAGE = "<html><head><title>Welcome to nginx!</title></head><body>Welcome to nginx!</body></html>\n"

# Debian's static busybox has neither; both read /proc alone.
PGREP = r"""#!/bin/sh
# pgrep [-f] PATTERN
what=comm
if [ "$1" = -f ]; then what=cmdline; shift; fi
none=1
for process in /proc/[0-9]*; do
  id=${process#/proc/}
  if [ "$id" != $$ ] && tr '\0' ' ' <"$process/$what" 2>/dev/null | grep -q -e "$1"; then echo "$id"; none=0; fi
done
exit $none
"""
IPCS = r"""#!/bin/sh
# ipcs -m: key, id, mode and size of every shared memory segment
awk 'NR > 1 { print $1, $2, $3, $4 }' /proc/sysvipc/shm
"""
NGINX_CONF = """
worker_processes 1;
pid /var/run/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {{ listen {port}; root /www; }}
}}
"""
# Says who it runs as; installed set-user-ID.
WHO_C = '#include <stdio.h>\n#include <unistd.h>\nint main() { printf("Effective uid: %u\\n", geteuid()); }\n'
WAIT_C = "#include <unistd.h>\nint main() { for (;;) pause(); }\n"


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Layer:
    """A layer under construction: files of root's, at time 0, so that equal content has an equal digest."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)
        self.folders = set()

    def _entry(self, path, mode, kind=tarfile.REGTYPE):
        entry = tarfile.TarInfo(path)
        entry.mode, entry.type = mode, kind
        return entry

    def folder(self, path, mode=0o755):
        parent = os.path.dirname(path)
        if parent:
            self.folder(parent)
        if path not in self.folders:
            self.folders.add(path)
            self.tar.addfile(self._entry(path, mode, tarfile.DIRTYPE))

    def file(self, path, data, mode=0o644):
        if isinstance(data, str):
            data = data.encode()
        if os.path.dirname(path):
            self.folder(os.path.dirname(path))
        entry = self._entry(path, mode)
        entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data))

    def hard_link(self, path, target):
        entry = self._entry(path, 0o755, tarfile.LNKTYPE)
        entry.linkname = target
        self.tar.addfile(entry)

    def program(self, path, source):
        """A program of the host's with every library that it loads, at the host's paths."""
        self.file(path, content(source), 0o755)
        for word in sorted(set(run("ldd", source, text=True).split())):
            if word.startswith("/"):
                self.file(word.lstrip("/"), content(word), 0o755)

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def c_program(source):
    with tempfile.TemporaryDirectory() as folder:
        run("cc", "-Os", "-static", "-s", "-x", "c", "-", "-o", f"{folder}/program", input=source.encode())
        return content(f"{folder}/program")


def base_layer(shell):
    layer = Layer()
    for path in ("dev", "proc", "sys", "root", "sbin", "usr/sbin", "home/default-user", "var/www"):
        layer.folder(path)
    layer.folder("tmp", 0o1777)
    static = shutil.which("busybox") or sys.exit("push_images.py: no busybox here; install busybox-static")
    layer.file("bin/busybox", content(static), 0o755)
    # The shell of the static busybox runs its applets itself, without a look at the file system, and so it would not
    # notice a masked program.
    layer.program("bin/sh", shell)
    for applet in sorted(set(run(static, "--list", text=True).split()) - {"busybox", "sh"}):
        layer.hard_link(f"bin/{applet}", "bin/busybox")
    layer.file("usr/bin/pgrep", PGREP, 0o755)
    layer.file("usr/bin/ipcs", IPCS, 0o755)
    layer.file("etc/passwd", PASSWD)
    layer.file("etc/group", GROUP)
    layer.file("www/index.html", PAGE)
    return layer.bytes()


def nginx_layer(port):
    layer = Layer()
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or sys.exit("push_images.py: install nginx-light")
    layer.program("usr/sbin/nginx", program)
    for path in ("var/log/nginx", "var/run", "var/lib/nginx"):
        layer.folder(path)
    layer.file("etc/nginx/nginx.conf", NGINX_CONF.format(port=port))
    return layer.bytes()


def one_file(path, data, mode=0o644):
    layer = Layer()
    layer.file(path, data, mode)
    return layer.bytes()


@functools.lru_cache(maxsize=None)
def packed(layer):
    return gzip.compress(layer, 6, mtime=0)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    def __init__(self, address):
        self.base = f"http://{address}"

    def _send(self, method, url, data=None, kind="application/octet-stream"):
        if url.startswith("/"):
            url = self.base + url
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
        return urllib.request.urlopen(request, timeout=60)

    def blob(self, repository, data):
        name = digest(data)
        try:
            self._send("HEAD", f"/v2/{repository}/blobs/{name}")
        except urllib.error.HTTPError:
            place = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
            self._send("PUT", f"{place}{'&' if '?' in place else '?'}digest={name}", data)
        return {"digest": name, "size": len(data)}

    def image(self, name, layers, settings=None, kinds=OCI):
        repository, _, tag = name.partition(":")
        config = json.dumps({
            "architecture": run("dpkg", "--print-architecture", text=True).strip(),
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"],
                       **(settings or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }).encode()
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": kinds["manifest"],
            "config": {"mediaType": kinds["config"], **self.blob(repository, config)},
            "layers": [{"mediaType": kinds["layer"], **self.blob(repository, data)} for data in map(packed, layers)],
        }).encode()
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", manifest, kinds["manifest"])
        print(name, digest(manifest), flush=True)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    registry = Registry(sys.argv[1])
    base = base_layer(sys.argv[2])
    e2e, cri = "e2e-test-images", "k8s-staging-cri-tools"
    nginx = {"Cmd": ["nginx", "-g", "daemon off;"]}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    registry.image(f"{e2e}/busybox:1.29-2", [base])
    registry.image(f"{e2e}/nginx:1.14-2", [base, nginx_layer(80)], nginx, DOCKER)
    registry.image(f"{e2e}/httpd:2.4.39-4", [base], {"Cmd": ["sh", "-c", "echo httpd; exec httpd -f -p 80 -h /www"]})
    registry.image(f"{e2e}/nonewprivs:1.3", [base, one_file("nnp", c_program(WHO_C), 0o4755)],
                   {"Cmd": None, "Entrypoint": ["/nnp"]})
    registry.image(f"{cri}/hostnet-nginx-{machine}:latest", [base, nginx_layer(12003)], nginx)
    registry.image("pause:3.9", [one_file("pause", c_program(WAIT_C), 0o755)],
                   {"Cmd": None, "Entrypoint": ["/pause"], "User": "65535:65535"})
    for name, user in (("user-uid", "1002"), ("user-username", "www-data"), ("user-uid-group", "1003:users"),
                       ("user-username-group", "www-data:100"), ("predefined-group", "1000")):
        registry.image(f"{cri}/test-image-{name}:latest", [base], {"User": user})
    for name in ("latest:latest", "tag:test", "tag:all", "digest:latest", "1:latest", "2:latest", "3:latest"):
        registry.image(f"{cri}/test-image-{name}", [base, one_file("name", name)], kinds=DOCKER if name[0] == "2" else OCI)
    for tag in ("1", "2", "3"):  # one image by three names
        registry.image(f"{cri}/test-image-tags:{tag}", [base, one_file("name", "tags")])


if __name__ == "__main__":
    main()
