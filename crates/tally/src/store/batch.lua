-- Applies a batch of changes to one bucket, atomically and once. All keys are declared, so that Redis Cluster refuses the whole
-- script, not half of it, while the bucket's slot is being moved.
--
-- KEYS[1]  what this writer's last batch was answered
-- ARGV[1]  the batch's number; a writer has one batch of a bucket under way
-- ARGV[2]  {F: names of whole counters, G: names of counters with fractions (referred to by negative numbers),
--           X: {key, seconds, ...} keys that expire, R: changes}
local last = redis.call('GET', KEYS[1])
if last then
  local cut = string.find(last, ' ', 1, true)
  if string.sub(last, 1, cut - 1) == ARGV[1] then
    -- It was applied and the answer was lost. A write, so that the WAIT that follows waits for all before it.
    redis.call('EXPIRE', KEYS[1], 3600)
    return string.sub(last, cut + 1)
  end
end

local batch = cjson.decode(ARGV[2])
local counters, uniques, results = {}, {}, {}

local function add(list)
  if not list then return end
  for i = 1, #list, 3 do
    local key, field = list[i], list[i + 1]
    local fields = counters[key]
    if not fields then fields = {}; counters[key] = fields end
    fields[field] = (fields[field] or 0) + list[i + 2]
  end
end

local function number(n) return string.format('%.17g', n) end

-- What is known of a user: fields with JSON values.
local function change_profile(key, changes)
  local size = redis.call('HLEN', key)
  for i = 1, #changes, 3 do
    local op, field, value = changes[i], changes[i + 1], changes[i + 2]
    local now = redis.call('HGET', key, field)
    if op == 'unset' then
      redis.call('HDEL', key, field)
    elseif not now and size >= 300 then
      -- Full: fields that are there can still be changed.
    elseif op == 'set' or (op == 'setOnce' and not now) then
      redis.call('HSET', key, field, value)
    elseif op == 'inc' or op == 'mul' or op == 'min' or op == 'max' then
      local by, old = tonumber(value), now and tonumber(now)
      local new = by
      if op == 'inc' then new = (old or 0) + by
      elseif op == 'mul' then new = (old or 0) * by
      elseif op == 'min' then new = old and math.min(old, by) or by
      elseif op == 'max' then new = old and math.max(old, by) or by end
      if new == new and math.abs(new) < 1e300 then redis.call('HSET', key, field, number(new)) end
    elseif op == 'push' or op == 'addToSet' or op == 'pull' then
      local old = now and cjson.decode(now)
      local list = type(old) == 'table' and old or (old ~= nil and old ~= false and { old } or {})
      local given = cjson.decode(value)
      local values = type(given) == 'table' and given or { given }
      for _, v in ipairs(values) do
        local kept, there = {}, false
        for _, o in ipairs(list) do
          if o == v then there = true end
          if not (op == 'pull' and o == v) then kept[#kept + 1] = o end
        end
        if op == 'push' or (op == 'addToSet' and not there) then kept[#kept + 1] = v end
        if #kept <= 100 then list = kept end
      end
      redis.call('HSET', key, field, #list > 0 and cjson.encode(list) or '[]')
    end
    if not now then size = size + 1 end
  end
end

-- A device is known by its first and last activity, its number of sessions, and the fingerprints of its last four requests. A
-- device that has become another one holds that one's id instead.
local RECORD = '>I4I4I4I6I6I6I6'

local function count(r, key, uid, record)
  local first, last_seen, sessions, f1, f2, f3, f4 = r.t, 0, 0, 0, 0, 0, 0
  if record then first, last_seen, sessions, f1, f2, f3, f4 = struct.unpack(RECORD, record) end
  if r.h > 0 then
    if r.h == f1 or r.h == f2 or r.h == f3 or r.h == f4 then return 'd' end
    f1, f2, f3, f4 = r.h, f1, f2, f3
  end
  if not record then add(r.w) end
  add(r.c)
  if r.P then
    if last_seen < r.D then add(r.f) end
    if last_seen < r.M then add(r.m) end
    if last_seen < r.H or last_seen >= r.H + 3600 then
      for _, k in ipairs(r.P) do
        local list = uniques[k]
        if not list then list = {}; uniques[k] = list end
        list[#list + 1] = uid
      end
    end
    if r.t > last_seen then last_seen = r.t end
  end
  if r.s then
    if sessions == 0 then add(r.n) end
    sessions = sessions + 1
  end
  redis.call('HSET', key, uid, struct.pack(RECORD, first, last_seen, sessions, f1, f2, f3, f4))
  if r.p then change_profile(KEYS[r.q], r.p) end
  return '+'
end

for i, r in ipairs(batch.R) do
  local key, uid = KEYS[r.d], struct.pack('>I6I6', r.a, r.b)
  local record = redis.call('HGET', key, uid)
  local result
  if record and #record == 13 then
    local a, b = struct.unpack('>I6I6', record, 2)
    result = string.format('@%.0f,%.0f', a, b)
  elseif r.o == 'look' then
    result = record and 'known' or 'unknown'
  elseif r.o == 'link' then
    -- The id is new: it becomes another name of a device that is known.
    if record then result = 'known' else
      redis.call('HSET', key, uid, '@' .. struct.pack('>I6I6', r.x, r.y))
      result = '+'
    end
  elseif r.o == 'absorb' then
    -- The device becomes another one, which is known too.
    if not record then result = 'unknown' else
      local first, _, sessions = struct.unpack(RECORD, record)
      redis.call('HSET', key, uid, '@' .. struct.pack('>I6I6', r.x, r.y))
      add(r.w)
      result = string.format('=%.0f,%.0f', first, sessions)
    end
  elseif r.o == 'grow' then
    if record then
      local first, last_seen, sessions, f1, f2, f3, f4 = struct.unpack(RECORD, record)
      record = struct.pack(RECORD, math.min(first, r.x), last_seen, sessions + r.y, f1, f2, f3, f4)
      redis.call('HSET', key, uid, record)
    end
    result = '+'
  else
    result = count(r, key, uid, record)
  end
  results[i] = result
end

-- A hash that has grown over the limit takes no new fields: nobody can fill the store with invented names.
local LIMIT = 20000
for key, fields in pairs(counters) do
  local name = KEYS[key]
  local full = redis.call('HLEN', name) >= LIMIT
  for field, by in pairs(fields) do
    local title = field > 0 and batch.F[field] or batch.G[-field]
    if not full or redis.call('HEXISTS', name, title) == 1 then
      local command = field > 0 and 'HINCRBY' or 'HINCRBYFLOAT'
      redis.pcall(command, name, title, number(by))
    end
  end
end
for key, uids in pairs(uniques) do
  redis.call('PFADD', KEYS[key], unpack(uids))
end
for i = 1, #batch.X, 2 do
  redis.call('EXPIRE', KEYS[batch.X[i]], batch.X[i + 1], 'NX')
end

local answer = table.concat(results, ' ')
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. answer, 'EX', 3600)
return answer
