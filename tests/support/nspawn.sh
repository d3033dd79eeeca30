#!/bin/sh
# A container of systemd-nspawn over this machine's own files, which stay as they are: what is written goes to memory.
# nspawn.sh FOLDER PREPARED NSPAWN: FOLDER is an empty one, the files of PREPARED are put over those of the machine. Run it
# in a mount namespace of its own, which takes the mounts along when it ends.
set -eu
folder=$1 prepared=$2 nspawn=$3

mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn  # where it leaves things behind
mount -t tmpfs -o size=2g tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
root=$folder/root

# Nothing of this machine is started in it, and nothing that belongs to its kernel.
rm -rf "$root"/etc/systemd/system/*.wants "$root/etc/machine-id"
for unit in systemd-networkd systemd-resolved systemd-timesyncd systemd-udevd networking; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
done
cp -a "$prepared/." "$root/"

exec "$nspawn" --quiet --directory="$root" --register=no --keep-unit --boot --machine="squidmesh-$$" --console=pipe \
    -- --unit=basic.target
