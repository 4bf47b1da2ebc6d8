# Keeps CPUs busy and holds memory for some seconds, at most until a deadline.
# stress.sh UNTIL SECONDS CPUS BYTES
set -u
until=$1 seconds=$2 cpus=$3 bytes=$4
trap 'kill $(jobs -p) 2> /dev/null; echo released; exit 0' TERM INT
[ "$(date +%s)" -lt "$until" ] || exit 0
echo applying
begin
while [ "$cpus" -gt 0 ]; do
  (while [ "$(date +%s)" -lt "$until" ]; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done) &
  cpus=$((cpus - 1))
done
# tail keeps what it reads until the end of its input, which has no line's end.
[ "$bytes" -gt 0 ] && (head -c "$bytes" /dev/zero; hold) | tail -n 1 > /dev/null &
echo applied
hold
kill $(jobs -p) 2> /dev/null
echo released
