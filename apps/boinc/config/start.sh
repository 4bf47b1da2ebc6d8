#!/bin/sh
# Prepares the client's folder and becomes the client. With an account it is attached by an account file, which is how BOINC's own
# installers do it; the key is then on no command line.
set -eu
cd /data
umask 077
[ -s gui_rpc_auth.cfg ] || cat /proc/sys/kernel/random/uuid > gui_rpc_auth.cfg
cat /config/global_prefs_override.xml > global_prefs_override.xml
if [ -n "${PROJECT_URL:-}" ] && [ -n "${ACCOUNT_KEY:-}" ]; then
  name=$(printf %s "${PROJECT_URL#*://}" | sed -e 's|/*$||' -e 's|[^A-Za-z0-9.-]|_|g')
  cat > "account_$name.xml" <<EOF
<account>
    <master_url>${PROJECT_URL%/}/</master_url>
    <authenticator>$ACCOUNT_KEY</authenticator>
</account>
EOF
  echo "attached to $PROJECT_URL"
else
  echo "attached to nothing: the Secret boinc-account with project_url and account_key is missing or empty"
fi
unset ACCOUNT_KEY
exec boinc --dir /data --no_gpus
