#!/bin/sh
# Writes the ACL file, and becomes the server: start.sh SERVER CONFIG [SETTINGS...]
#
# The user squidmesh is that of users.acl, which the package squidmesh_redis ships, with the hash of the password in
# REDIS_PASSWORD_FILE. The user health may PING, and nothing else. USERS and ACL_FOLDER say where things are.
set -eu

users=${USERS:-/opt/squidmesh/redis/users.acl}
folder=${ACL_FOLDER:-/run/squidmesh}
password=$(cat "${REDIS_PASSWORD_FILE:-/run/secrets/redis-password}")
[ -n "$password" ] || { echo "start.sh: the file of the password is empty" >&2; exit 2; }
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)

umask 077
{
    echo "user default off"
    echo "user health on nopass resetkeys resetchannels -@all +ping"
    sed "s/>PASSWORD/#$hash/" "$users"
} > "$folder/users.acl"

exec "$@" --aclfile "$folder/users.acl"
