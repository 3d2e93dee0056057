#!/bin/sh
# Makes a Debian package of an installation: conf/debian/build.sh STAGE VERSION. STAGE is the DESTDIR
# of `make install PREFIX=/usr`; the package is put beside it. `make deb` calls this.
set -eu

stage=$1 version=$2
here=$(cd "$(dirname "$0")" && pwd)
architecture=$(dpkg --print-architecture)
package=$(dirname "$stage")/roomcast_${version}_$architecture.deb
doc=$stage/usr/share/doc/roomcast

strip --strip-unneeded "$stage/usr/bin/roomcast"
for page in "$stage"/usr/share/man/man*/*; do
    gzip -9nf "$page"
done
mv "$doc/LICENSE" "$doc/copyright"

# The libraries that the executable is linked with, at the versions that it was built with. The tool
# wants to see the folder of a source package.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debian"
printf 'Source: roomcast\n\nPackage: roomcast\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O "$OLDPWD/$stage/usr/bin/roomcast" | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ]

install -d -m 755 "$stage/DEBIAN"
sed -e "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@DEPENDS@|$depends|" \
    -e "s|@SIZE@|$(du -sk "$stage" | cut -f 1)|" "$here/control" >"$stage/DEBIAN/control"
for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$stage/DEBIAN/$script"
done
(cd "$stage" && find etc -type f -printf '/%p\n') >"$stage/DEBIAN/conffiles"
(cd "$stage" && find usr -type f -exec md5sum {} +) >"$stage/DEBIAN/md5sums"
dpkg-deb --root-owner-group --build "$stage" "$package"
