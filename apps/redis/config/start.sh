#!/bin/sh
# Starts one member. A restarted pod has a new address: the member's own line in nodes.conf is mended before Redis reads
# it, the others learn the new address by gossip.
set -eu
if [ -f /data/nodes.conf ]; then
  sed -i -e "/myself/ s/ [0-9]*\.[0-9]*\.[0-9]*\.[0-9]*:/ ${POD_IP}:/" /data/nodes.conf
fi
exec redis-server /config/redis.conf --cluster-announce-ip "$POD_IP"
