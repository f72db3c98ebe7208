"""What runs inside Redis: booking a turn in all limits or in none, and telling what became of calls.

What belongs here: the Lua scripts, each atomic and on Redis' own clock, and what their arguments mean. What does
not: calling them (``shared``), the arithmetic of the unknown limit (``learning``).

A window (an app's, an endpoint family's, a developer account's) is a hash with ``count`` calls in all, ``head`` the
oldest tenth of a second that has any, ``since`` when it was made; and a ring of numbers (``:calls``), one for each
tenth: how many calls were booked or answered in it. A call stays in it until 30 seconds after its answer: whatever
the delays, the server can't have counted more than that. The app's hash also holds all else that is known of the
app; what most questions change (``NUMBERS``) is one field of it. Times are milliseconds.

Numbers come and go packed as doubles: spelling them out and reading them took longer than all else.
"""

__all__ = ["ASK", "BAN", "LEARN", "NUMBERS", "REFUND", "REFUSED", "SERVER_TIME"]

NUMBERS = (
    *("generation", "head", "count", "since", "tat", "pause", "episode", "half", "test", "fails", "ban"),
    *("grown", "saturated", "switched", "owed1", "owed2", "trimmed", "kept"),
)
"""What is known of an app, packed in this order in the field ``numbers`` of its hash; 0 is none."""
_EACH_NUMBER = ", ".join(f"state.{name}" for name in NUMBERS)
_LAYOUT = f"'<{'d' * len(NUMBERS)}'"

SERVER_TIME = "redis.call('TIME')"
"""Where every script has its time from: seconds and microseconds."""

_WINDOWS = f"""
local time = {SERVER_TIME}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tenth = math.floor(now / 100)
-- A tenth is left behind once all of it is older than 30 seconds.
local SPAN = 301
local KEEP = 7 * 86400000

-- Calls what it is given with each so many numbers of those that are packed in a text.
local function each_pack(text, layout, use)
  local at, size = 1, #layout * 8 - 8
  while at + size - 1 <= #text do
    use(struct.unpack(layout, text, at))
    at = at + size
  end
end

-- The ring's places; a turn can be booked for the next tenth.
local RING = 304
local function change(window, at, calls)
  return redis.call('BITFIELD', window.ring, 'INCRBY', 'i32', '#' .. at % RING, calls)[1]
end

local function load_window(key, head, count, since)
  local window = {{key = key, ring = key .. ':calls', since = tonumber(since),
    head = tonumber(head) or tenth, count = tonumber(count) or 0}}
  while window.count > 0 and window.head <= tenth - SPAN do
    local place = '#' .. window.head % RING
    window.count = window.count - redis.call('BITFIELD', window.ring, 'SET', 'i32', place, 0)[1]
    window.head = window.head + 1
  end
  if window.count <= 0 then window.head, window.count = tenth, 0 end
  return window
end

local function add(window, at, calls)
  change(window, at, calls)
  window.count = window.count + calls
  window.head = math.min(window.head, at)
end

-- A booking leaves the window. What is older than the window was lost with the one before.
local function take_out(window, booked, calls)
  local at = math.floor(booked / 100)
  if not window.since or booked < window.since or at <= tenth - SPAN then return end
  local left = change(window, at, -calls)
  window.count = window.count - calls
  -- It was told twice: Redis did what was asked, and the answer got lost.
  if left < 0 then add(window, at, math.min(calls, -left)) end
end

-- What became of a call: it leaves the tenth of its booking for that of its answer.
local function move(window, booked, calls)
  if not window.since then return end
  -- Within one tenth nothing changes.
  if booked >= window.since and math.floor(booked / 100) == tenth then return end
  take_out(window, booked, calls)
  add(window, tenth, calls)
end
"""

_APP = (
    _WINDOWS
    + """
local packed, asker, learned, fullness, version = unpack(
  redis.call('HMGET', KEYS[1], 'numbers', 'asker', 'limit', 'fullness', 'version'))
local state = {}
"""
    + f"{_EACH_NUMBER} = struct.unpack({_LAYOUT}, packed or string.rep('\\0', {8 * len(NUMBERS)}))"
    + """
-- A window that was lost, or never was, has no generation.
local app = load_window(KEYS[1], state.head, state.count, state.generation > 0 and state.since or nil)
local extra = {}
-- A family's or a developer account's window, by its place among the keys.
local function extra_window(place)
  if place == 0 then return nil end
  if not extra[place] then
    extra[place] = load_window(KEYS[place], unpack(redis.call('HMGET', KEYS[place], 'head', 'count', 'since')))
  end
  return extra[place]
end

local function move_all(booked, calls, family, developer)
  move(app, booked, calls)
  if family > 0 then move(extra_window(family), booked, calls) end
  if developer > 0 then move(extra_window(developer), booked, calls) end
end

local function save()
  for _, window in pairs(extra) do
    if window.since then
      redis.call('HSET', window.key, 'head', window.head, 'count', window.count, 'since', window.since)
      redis.call('PEXPIRE', window.key, KEEP)
      redis.call('PEXPIRE', window.ring, KEEP)
    end
  end
  state.head, state.count = app.head, app.count
  local keep = math.max(now, state.pause, state.ban) + KEEP
  local renew = state.kept < keep - 3600000
  if renew then state.kept = keep end
"""
    + f"  redis.call('HSET', app.key, 'numbers', struct.pack({_LAYOUT}, {_EACH_NUMBER}))"
    + """
  if renew then
    redis.call('PEXPIRE', app.key, keep - now)
    redis.call('PEXPIRE', app.ring, keep - now)
  end
end
"""
)

ASK = (
    _APP
    + """
-- KEYS: the app's window, calls that passed, processes; then whatever the arguments name by its place (0: none).
-- ARGV: process
--   | limit where none is learned, whether it is fixed, how long ahead a turn may be booked,
--     then for each class its backlogged accounts and waiting calls
--   | candidates: class, weight, bucket, its interval and tolerance, has waited, family, its limit, developer, limit
--   | answers: booked, let through, full, test, weight, family, developer
--   | calls made without us: age, weight, family, developer
local process = ARGV[1]
local backlogged, waiting = {}, {}
local limit, fixed, horizon
limit, fixed, horizon, backlogged[0], waiting[0], backlogged[1], waiting[1], backlogged[2], waiting[2] =
  struct.unpack('<ddddddddd', ARGV[2])
fixed = fixed == 1
if not fixed then limit = tonumber(learned) or limit end
fullness = tonumber(fullness) or 0.7
local interval = 30000 / limit
local room = math.max(1, math.floor(limit + 1e-9))
local burst = math.max(1, 0.02 * limit)
local tat = state.tat

-- Lost, or new: what was sent just now is unknown. So a window counts as full, and empties evenly.
local function fill(window, calls)
  window.since, window.fresh, window.count = now, true, 0
  redis.call('DEL', window.ring)
  local done = 0
  for i = 0, 299 do
    local due = math.floor((i + 1) * calls / 300)
    if due > done then add(window, tenth - 300 + i, due - done) end
    done = due
  end
end
if not app.since then
  state.generation = time[1] * 1000000 + time[2]
  fill(app, room)
  state.since = now
  tat = now + burst * interval
end

local candidates = {}
each_pack(ARGV[3], '<dddddddddd', function(class, weight, bucket, interval, tolerance, waited, family, family_limit,
    developer, developer_limit)
  candidates[#candidates + 1] = {class = class, weight = weight, bucket = bucket, interval = interval,
    tolerance = tolerance, waited = waited == 1, wait = 0, family = family, family_limit = family_limit,
    developer = developer, developer_limit = developer_limit}
  local family_window, developer_window = extra_window(family), extra_window(developer)
  if family_window and not family_window.since then fill(family_window, family_limit) end
  if developer_window and not developer_window.since then fill(developer_window, developer_limit) end
end)

local settled = false
each_pack(ARGV[4], '<ddddddd', function(booked, let_through, full, test, weight, family, developer)
  settled = true
  move_all(booked, weight, family, developer)
  if let_through == 1 then
    redis.call('RPUSH', KEYS[2], struct.pack('<ddd', booked, now, weight))
    if full == 1 and not fixed then
      state.grown = state.grown + weight
      if state.saturated == 0 then state.saturated = now end
    else
      state.saturated = 0
    end
    if booked > state.episode and state.half == 1 then state.half, state.fails = 0, 0 end
  end
  if test == 1 then state.test = 0 end
end)
if settled and state.trimmed < now - 1000 then
  local oldest = redis.call('LINDEX', KEYS[2], 0)
  while oldest and struct.unpack('<d', oldest, 9) < now - 65000 do
    redis.call('LPOP', KEYS[2])
    oldest = redis.call('LINDEX', KEYS[2], 0)
  end
  redis.call('PEXPIRE', KEYS[2], 70000)
  state.trimmed = now
end
-- A limit that is given is not learned: what was seen under it is no evidence.
if fixed then state.grown = 0 end

local uploaded = false
each_pack(ARGV[5], '<dddd', function(age, weight, family, developer)
  local at = math.floor((now - age) / 100)
  for _, window in pairs({app, extra_window(family), extra_window(developer)}) do
    -- A window that was lost counts as full anyway.
    if window.since and not window.fresh and at > tenth - SPAN then add(window, at, weight) end
  end
  uploaded = true
end)
if uploaded then tat = math.max(tat, now + burst * interval) end

local function reply(granted, wait, candidate, taken, full, test)
  state.tat = tat
  save()
  local facts = struct.pack('<ddddddddddddd', granted, wait, limit, now + granted * wait, state.generation, candidate,
    taken, full, test, state.grown, state.saturated > 0 and now - state.saturated or 0,
    math.max(0, state.pause - now), math.max(0, state.ban - now))
  for _, each in ipairs(candidates) do facts = facts .. struct.pack('<d', math.ceil(each.wait)) end
  return {facts, version or ''}
end
if state.ban > now then return reply(0, state.ban - now, 0, 0, 0, 0) end

local function wait_for_room(window, calls, weight)
  -- What was learned may have sunk below the weight of one turn: that goes alone.
  local over = window.count + weight - math.max(calls, weight)
  if over <= 0 then return 0 end
  local at, leading = window.head, true
  local ring = redis.call('GET', window.ring)
  while over > 0 and at <= tenth do
    local place = 4 * (at % RING) + 1
    local held = place + 3 <= #ring and struct.unpack('>i4', ring, place) or 0
    if held > 0 then leading = false elseif leading then window.head = at + 1 end
    over = over - held
    at = at + 1
  end
  return math.max(0, (at - 1 + SPAN) * 100 - now)
end

local function keep_bucket(each, value)
  redis.call('SET', KEYS[each.bucket], struct.pack('<d', value), 'PX', math.ceil(value - now) + KEEP)
end

-- 1. What is the candidate's own: its account's bucket, its family's window. The first of each class that is ready.
local ready, soonest = {}, nil
for i, each in ipairs(candidates) do
  if not ready[each.class] then
    if each.bucket > 0 then
      local bucket = redis.call('GET', KEYS[each.bucket])
      each.tat = bucket and struct.unpack('<d', bucket)
      if not each.tat then
        -- A bucket that is missing may have been drawn from a moment ago: it starts empty.
        each.tat = now + each.tolerance + each.interval
        keep_bucket(each, each.tat)
      end
      each.wait = math.max(0, each.tat + (each.weight - 1) * each.interval - each.tolerance - now)
    end
    if each.family > 0 then
      each.wait = math.max(each.wait, wait_for_room(extra_window(each.family), each.family_limit, each.weight))
    end
    if each.wait <= horizon + 1 then ready[each.class] = i end
    soonest = math.min(soonest or each.wait, each.wait)
  end
end
-- Who can't use a turn holds nobody up.
for class = 0, 2 do
  if not ready[class] then backlogged[class] = 0 end
end

-- 2. All processes: which class is due, and who of those that wait in it. Who asks alone needs no look at the others.
local turns, least, elsewhere, active = {[0] = 0, 0, 0}, {}, {}, {}
local switched = asker ~= process
local alone = not switched and now - state.switched > 700
if switched then
  redis.call('HSET', KEYS[1], 'asker', process)
  state.switched = now
end
if not alone then
  local all = redis.call('HGETALL', KEYS[3])
  for i = 1, #all, 2 do
    local seen = {struct.unpack('<ddddddd', all[i + 1])}
    local silent = now - seen[1]
    if silent > 60000 then
      redis.call('HDEL', KEYS[3], all[i])
    else
      for class = 0, 2 do
        local v, accounts = seen[2 * class + 2], seen[2 * class + 3]
        local waits = accounts > 0 and silent <= 600
        if all[i] == process then
          turns[class], active[class] = v, waits
        elseif waits then
          elsewhere[class] = true
          least[class] = math.min(least[class] or v, v)
        end
      end
    end
  end
end
for class = 0, 2 do
  -- Whoever comes back has no claim to the turns of the time when it wanted none.
  if not active[class] then turns[class] = math.max(turns[class], least[class] or 0) end
end
local function enter()
  if alone then return end
  redis.call('HSET', KEYS[3], process, struct.pack('<ddddddd', now, turns[0], backlogged[0], turns[1], backlogged[1],
    turns[2], backlogged[2]))
  redis.call('PEXPIRE', KEYS[3], 60000)
end
if not soonest or not next(ready) then
  enter()
  return reply(0, soonest or 1000, 0, 0, 0, 0)
end
local owed = {state.owed1, state.owed2}
local due
local function first_of(class, wanted)
  if wanted and not due and (ready[class] or elsewhere[class]) then due = class end
end
for class = 1, 2 do first_of(class, owed[class] >= 1) end
for class = 0, 2 do first_of(class, true) end
local each = candidates[ready[due]]
local shortly = math.min(20, math.max(2, interval / 4))

-- 3. The app: pause, the one test call after it, pace, room in its window and in the developer account's.
local weight = each and each.weight or 1
local wait, certain = 0, true
if state.pause > now then wait, certain = state.pause - now, false end
if state.half == 1 and state.test > now then
  wait, certain = math.max(wait, math.min(100, state.test - now)), false
end
wait = math.max(wait, tat - math.max((burst - 1) * interval, 20) - now - 1, wait_for_room(app, room, weight))
if each and each.developer > 0 then
  wait = math.max(wait, wait_for_room(extra_window(each.developer), each.developer_limit, weight))
end
if each then wait = math.max(wait, each.wait <= 1 and 0 or each.wait) end
if wait > horizon or not certain then
  enter()
  return reply(0, math.max(1, wait), 0, 0, 0, 0)
end
-- Virtual time grows by one turn per backlogged account; nobody may run ahead.
local share = each and weight / math.max(1, backlogged[due]) or 0
if not each or (least[due] and turns[due] > least[due] + share + 1e-6) then
  enter()
  return reply(0, math.max(wait, shortly), 0, 0, 0, 0)
end

-- 4. Granted: booked everywhere.
local at = now + wait
local taken = 0
if each.bucket > 0 then
  taken = math.max(each.tat, at) + each.weight * each.interval
  keep_bucket(each, taken)
end
for _, window in pairs({app, extra_window(each.family), extra_window(each.developer)}) do
  add(window, math.floor(at / 100), weight)
end
tat = math.max(tat, at) + weight * interval
local test = 0
if state.half == 1 then
  test = 1
  state.test = now + 25000
end
for class = 1, 2 do
  if ready[class] or elsewhere[class] then
    state['owed' .. class] = math.max(0, math.min(2, owed[class] + 0.05) - (class == due and 1 or 0))
  end
end
turns[due] = turns[due] + share
if waiting[due] <= 1 then backlogged[due] = 0 end
enter()
local full = each.waited and app.count >= fullness * room
return reply(1, wait, ready[due], taken, full and 1 or 0, test)
"""
)

REFUSED = (
    _APP
    + """
-- KEYS: the app's window, calls that passed, the family's and the developer account's window if there are any.
-- ARGV: booked (0 where it was not booked here), pause, whether it was the test call, weight, the places of family
-- and developer among the keys, whether it says anything about the app's limit.
local booked, asked, test, weight, family, developer, telling = struct.unpack('<ddddddd', ARGV[1])
if booked > 0 then move_all(booked, weight, family, developer) else booked = now end
if test == 1 then state.test, state.fails = 0, state.fails + 1 end
local longer = state.fails > 0 and 5000 * 2 ^ math.min(state.fails - 1, 6) or 0
state.pause = math.max(state.pause, math.floor(now + math.max(asked, longer)))
state.tat = state.pause
state.half = 1
-- A window that was lost stays without a generation: the next booking has to find it so.
if app.since then state.generation = time[1] * 1000000 + time[2] end
local is_new, sure, possible = telling == 1 and booked > state.episode, 0, 0
if is_new then
  state.episode, state.grown, state.saturated = now, 0, 0
  for _, call in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local sent, answered, calls = struct.unpack('<ddd', call)
    if sent > now - 30000 and answered <= booked then sure = sure + calls end
    if answered > booked - 30000 and sent < now then possible = possible + calls end
  end
end
save()
return {is_new and 1 or 0, sure, possible, state.pause - now, now}
"""
)

BAN = (
    _APP
    + """
-- KEYS: the app's window. ARGV: how long. Nothing is learned from a ban, and no test call follows it.
state.ban = math.max(state.ban, now + struct.unpack('<d', ARGV[1]))
save()
return 1
"""
)

REFUND = (
    _APP
    + """
-- KEYS: the app's window, the account's bucket, then as the arguments say.
-- ARGV: generation, booked, weight, whether it was the test call, limit where none is learned, whether it is fixed,
-- places of family and developer, what the bucket became by it (0: there is none), the bucket's interval.
local generation, booked, weight, test, limit, fixed, family, developer, taken, interval =
  struct.unpack('<dddddddddd', ARGV[1])
if not app.since or state.generation ~= generation then return 0 end
if fixed == 0 then limit = tonumber(learned) or limit end
for _, window in pairs({app, extra_window(family), extra_window(developer)}) do
  take_out(window, booked, weight)
end
if test == 1 then state.test = 0 end
state.tat = state.tat - weight * 30000 / limit
-- Only what was taken last can be given back: otherwise two calls could end up at one time.
if taken > 0 and redis.call('GET', KEYS[2]) == struct.pack('<d', taken) then
  redis.call('SET', KEYS[2], struct.pack('<d', taken - weight * interval), 'KEEPTTL')
end
save()
return 1
"""
)

LEARN = (
    _APP
    + """
-- KEYS: the app's window. ARGV: expected version, new version, limit, fullness, state, evidence used up.
if (version or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'limit', ARGV[3], 'fullness', ARGV[4], 'learned', ARGV[5])
state.grown = math.max(0, state.grown - ARGV[6])
save()
return 1
"""
)
