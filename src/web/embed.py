#!/usr/bin/env python3
"""Makes a C file of the page's files: embed.py OUTPUT FILE...

index.html is served as "/". ETags are of the content, so a browser keeps a file exactly
as long as the file stays the same."""
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def array(name, data):
    rows = (data[i:i + 20] for i in range(0, len(data), 20))
    body = ",\n    ".join(",".join(str(b) for b in row) for row in rows)
    return f"static const unsigned char {name}[] = {{\n    {body}}};\n"


def main(out, files):
    text = '#include "web/page.h"\n\n'
    rows = ""
    for n, file in enumerate(sorted(files, key=lambda f: f.name)):
        data = file.read_bytes()
        path = "/" if file.name == "index.html" else "/" + file.name
        tag = hashlib.sha256(data).hexdigest()[:32]
        text += array(f"file_{n}", data)
        rows += f'    {{"{path}", "{TYPES[file.suffix]}", "\\"{tag}\\"", file_{n}, {len(data)}}},\n'
    text += f"\nconst struct page_file page_files[] = {{\n{rows}    {{0}}}};\n"
    pathlib.Path(out).write_text(text)


main(sys.argv[1], [pathlib.Path(f) for f in sys.argv[2:]])
