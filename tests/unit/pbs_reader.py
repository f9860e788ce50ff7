#!/usr/bin/env python3
"""An independent reader of the Proxmox Backup Server datastore format, to hold hotadd's
writer to it. Shares no code with hotadd; strict where a server or its garbage collection
is strict.

usage: pbs_reader.py STORE POINT NAME OUT [KEY_HEX]
       pbs_reader.py STORE layout
       STORE a directory (or, with .cnt in it, the S3 layout written out as files)
       POINT "vm/100/2026-01-02T03:04:05Z" or "ns/a/vm/..."; NAME "drive-scsi0.img.fidx"
"""
import hashlib
import hmac
import json
import pathlib
import re
import stat
import struct
import subprocess
import sys
import zlib


def magic(text):
    return hashlib.sha256(text.encode()).digest()[:8]


PLAIN = magic("Proxmox Backup uncompressed blob v1.0")
ZSTD = magic("Proxmox Backup zstd compressed blob v1.0")
CRYPT = magic("Proxmox Backup encrypted blob v1.0")
CRYPT_ZSTD = magic("Proxmox Backup zstd compressed encrypted blob v1.0")
FIXED = magic("Proxmox Backup fixed sized chunk index v1.0")


class Key:
    def __init__(self, hexa):
        self.enc = bytes.fromhex(hexa)
        self.id = hashlib.pbkdf2_hmac("sha256", self.enc, b"_id_key", 10, 32)
        text = hashlib.sha256(b"Proxmox Backup Encryption Key Fingerprint").digest()
        self.fingerprint = hashlib.sha256(text + self.id).digest().hex(":")


def need(ok, *what):
    if not ok:
        raise SystemExit("pbs_reader: " + " ".join(str(w) for w in what))


def decode(raw, key, encrypted, what):
    """A data blob's plain data."""
    need(len(raw) >= 12, what, "is short")
    kind, crc = raw[:8], struct.unpack("<I", raw[8:12])[0]
    need((kind in (CRYPT, CRYPT_ZSTD)) == encrypted, what, "encryption is not as the manifest has it")
    need(kind in (PLAIN, ZSTD, CRYPT, CRYPT_ZSTD), what, "magic")
    body = raw[44:] if encrypted else raw[12:]
    need(zlib.crc32(body) == crc, what, "CRC")
    if encrypted:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        body = AESGCM(key.enc).decrypt(raw[12:28], body + raw[28:44], None)
    if kind in (ZSTD, CRYPT_ZSTD):
        body = subprocess.run(["zstd", "-dcq"], input=body, capture_output=True, check=True).stdout
    need(len(body) <= 16 << 20, what, "is larger than servers take")
    return body


def canonical(value):
    if isinstance(value, dict):
        return "{" + ",".join(canonical(k) + ":" + canonical(v) for k, v in sorted(value.items(), key=lambda kv: kv[0].encode())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    need(isinstance(value, (str, int)), "cannot be signed:", value)
    return json.dumps(value, ensure_ascii=False)


def check_signature(manifest, key):
    modes = {f["crypt-mode"] for f in manifest["files"]}
    if modes == {"none"}:
        need(not manifest.get("signature"), "signed, but nothing says so")
        return
    need(key, "a key is needed")
    signed = {k: v for k, v in manifest.items() if k not in ("unprotected", "signature")}
    want = hmac.new(key.id, canonical(signed).encode(), "sha256").hexdigest()
    need(manifest["signature"] == want, "signature")
    need(manifest["unprotected"]["key-fingerprint"] == key.fingerprint, "fingerprint")


def check_manifest(manifest, point, folder):
    need(set(manifest) <= {"backup-type", "backup-id", "backup-time", "files", "unprotected", "signature"}, "unknown top-level keys")
    kind, ident, time = point.split("/")[-3:]
    need((manifest["backup-type"], manifest["backup-id"]) == (kind, ident), "type or ID")
    got = subprocess.run(["date", "-u", "-d", "@%d" % manifest["backup-time"], "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True).stdout.strip()
    need(got == time, "time", got, time)
    need("verify_state" not in manifest["unprotected"], "a verify_state that no server made")
    listed = {f["filename"] for f in manifest["files"]}
    there = {p.name for p in folder.iterdir()} - {"index.json.blob", ".protected"}
    need(listed == there, "files listed and there differ:", listed ^ there)


def check_layout(store):
    """What a server asks for when it is pointed at a store (directory stores only)."""
    need((store / ".lock").stat().st_size == 0, ".lock")
    prefixes = [p for p in (store / ".chunks").iterdir()]
    need(len(prefixes) == 65536 and all(re.fullmatch("[0-9a-f]{4}", p.name) for p in prefixes), "prefixes")
    need(stat.S_IMODE((store / ".chunks").stat().st_mode) == 0o750, "mode of .chunks")
    for p in (store / ".chunks").glob("*/*"):
        need(re.fullmatch(r"[0-9a-f]{64}(\.\d\.bad)?", p.name) and p.name[:4] == p.parent.name, "stray file", p)
    for group in (store / "vm").iterdir():
        need(re.fullmatch(r"[^@\n]+@[^@\n]+\n", (group / "owner").read_text()), "owner of", group)
    for p in (store / "vm").rglob("*.fidx"):  # garbage collection opens each
        raw = p.read_bytes()
        size, chunk = struct.unpack("<QQ", raw[64:80])
        need(raw[:8] == FIXED and size and len(raw) == 4096 + 32 * -(-size // chunk), "index", p)


def read_disk(store, raw, entry, key, out):
    csum, size, chunk = raw[32:64], *struct.unpack("<QQ", raw[64:80])
    need(raw[:8] == FIXED and not any(raw[80:4096]), "index header")
    need(hashlib.sha256(raw[4096:]).digest() == csum and csum.hex() == entry["csum"], "index checksum")
    need(size == entry["size"] and chunk & (chunk - 1) == 0, "index size")
    need(len(raw) == 4096 + 32 * -(-size // chunk), "index length")
    encrypted = entry["crypt-mode"] == "encrypt"
    cache = {}
    for i in range(-(-size // chunk)):
        digest = raw[4096 + 32 * i:4128 + 32 * i]
        name = digest.hex()
        if name not in cache:
            data = decode((store / ".chunks" / name[:4] / name).read_bytes(), key, encrypted, name)
            need(hashlib.sha256(data + (key.id if encrypted else b"")).digest() == digest, name, "digest")
            cache = {name: data}
        need(len(cache[name]) == min(chunk, size - i * chunk), name, "length")
        out.write(cache[name])


def main(store, point, name, out, key=None):
    store, key = pathlib.Path(store), Key(key) if key else None
    content = store / ".cnt" if (store / ".cnt").exists() else store
    folder = content / point
    manifest = json.loads(decode((folder / "index.json.blob").read_bytes(), None, False, "manifest"))
    check_manifest(manifest, point, folder)
    check_signature(manifest, key)
    for entry in manifest["files"]:
        raw = (folder / entry["filename"]).read_bytes()
        if entry["filename"].endswith(".blob"):
            need(len(raw) == entry["size"] and hashlib.sha256(raw).hexdigest() == entry["csum"], entry["filename"])
            decode(raw, key, entry["crypt-mode"] == "encrypt", entry["filename"])
        if entry["filename"] == name:
            with open(out, "wb") as f:
                read_disk(store, raw, entry, key, f)
            return
    raise SystemExit(f"pbs_reader: no {name}")


if sys.argv[2:] == ["layout"]:
    check_layout(pathlib.Path(sys.argv[1]))
else:
    main(*sys.argv[1:])
