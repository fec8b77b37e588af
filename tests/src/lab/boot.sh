# Makes a machine of the process that runs this, in namespaces of its own: everything but the network.
# $1: its name, $2: what is installed on it, $3: its disk, $4: the capabilities that it has.
#
# Programs that believe the machine to be theirs empty /tmp, set kernel parameters and reboot. So nothing of the
# real machine can be written from here: its folders are seen through layers, and its other mounts not at all.
set -e
mount --make-rprivate /
cd "$3"
mkdir -p root
mount -t tmpfs -o mode=755 tmpfs root
for layer in etc usr var; do
    mkdir root/$layer
    mount -t overlay overlay root/$layer \
        -o "lowerdir=$2/$layer:/$layer,upperdir=$3/$layer,workdir=$3/work-$layer"
done
cd root
# Links into usr, on today's Debian.
for folder in bin lib lib32 lib64 libx32 sbin; do
    [ ! -e /$folder ] || cp -a /$folder .
done
mkdir dev home mnt old opt proc root run srv sys
mkdir -m 1777 tmp
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro sysfs sys
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs dev
for node in null zero full random urandom tty; do
    : > dev/$node
    mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/lock run/net
# Of the kernel's parameters only those of the network are this machine's own.
mount --bind proc/sys/net run/net
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind run/net proc/sys/net
umount run/net
rmdir run/net
[ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger
hostname "$1"
pivot_root . old
cd /
umount -l /old
rmdir /old
# The first process: orphans are its children, and every process ends with it.
exec setpriv --bounding-set "$4" --inh-caps -all sh -c '
    echo up
    exec >/dev/null 2>&1
    while sleep 1; do :; done
'
