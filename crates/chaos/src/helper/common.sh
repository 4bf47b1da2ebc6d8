# What all of these scripts begin with. `until` and `seconds` are their own.
say() { echo "$*"; }
# A fault lasts so many seconds from now on, and never beyond the deadline.
begin() {
  end=$(($(date +%s) + seconds))
  [ "$end" -lt "$until" ] && until=$end
  return 0
}
hold() { while [ "$(date +%s)" -lt "$until" ]; do sleep 0.2; done; }
