"""Takes the programs out of the packages that carry them: `unpack.py PACKAGES OUT` leaves OUT/{kubectl,helm}-VERSION."""
import io
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile


def keep(program, read):
    """Writes a program down under its name and version."""
    out = pathlib.Path(sys.argv[2])
    found = out / f"{program}.new"
    found.write_bytes(read)
    found.chmod(0o755)
    ask = ["version", "--client"] if program == "kubectl" else ["version", "--template", "{{.Version}}"]
    version = re.search(r"v(\d+\.\d+\.\d+)", subprocess.run([found, *ask], check=True, capture_output=True, text=True).stdout)
    shutil.move(found, out / f"{program}-{version[1]}")


packages = pathlib.Path(sys.argv[1])
keep("kubectl", (packages / "bin" / "kubectl").read_bytes())
for archive in packages.glob("aws_cdk/*/_jsii/*.tgz"):
    with tarfile.open(archive) as tar:
        layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
        for program in "kubectl", "helm":
            keep(program, layer.read(f"{program}/{program}"))
