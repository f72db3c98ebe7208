"""What runs inside Redis: booking a turn in all limits or in none, and telling what became of calls.

What belongs here: the Lua scripts, each atomic and on Redis' own clock, and what their arguments mean. What does
not: calling them (``shared``), the arithmetic of the unknown limit (``learning``).

A window (an app's, an endpoint family's, a developer account's) is a hash with ``count`` calls in all, ``head`` the
oldest tenth of a second that has any, ``since`` when it was made; and a ring of numbers (``:calls``), one for each
tenth: how many calls were booked or answered in it. A call stays in it until 30 seconds after its answer: whatever
the delays, the server can't have counted more than that. The app's hash also holds all else that is known of the
app. Times are milliseconds.
"""

__all__ = ["ASK", "BAN", "LEARN", "REFUND", "REFUSED", "SERVER_TIME"]

SERVER_TIME = "redis.call('TIME')"
"""Where every script has its time from: seconds and microseconds."""

_WINDOWS = f"""
local time = {SERVER_TIME}
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tenth = math.floor(now / 100)
-- A tenth is left behind once all of it is older than 30 seconds.
local SPAN = 301
local KEEP = 7 * 86400000

local function each_word(text)
  local word = string.gmatch(text, '%S+')
  return word, function() return tonumber(word()) end
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
  take_out(window, booked, calls)
  add(window, tenth, calls)
end
"""

_APP = (
    _WINDOWS
    + """
local NAMES = {'generation', 'head', 'count', 'since', 'pause', 'episode', 'half', 'test', 'fails', 'ban', 'limit',
  'fullness', 'version', 'grown', 'saturated', 'tat', 'asker', 'switched', 'owed1', 'owed2', 'trimmed', 'kept'}
local state, changes = {}, {}
for i, value in ipairs(redis.call('HMGET', KEYS[1], unpack(NAMES))) do state[NAMES[i]] = value end
local function number_of(name) return tonumber(state[name]) or 0 end
local function set(name, value)
  state[name] = value
  changes[#changes + 1] = name
  changes[#changes + 1] = value
end

local app = load_window(KEYS[1], state.head, state.count, state.since or (state.generation and 0))
local pause, episode, ban = number_of('pause'), number_of('episode'), number_of('ban')
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
  for _, place in ipairs({family, developer}) do
    local window = extra_window(place)
    if window then move(window, booked, calls) end
  end
end

local function save()
  for _, window in pairs(extra) do
    if window.since then
      redis.call('HSET', window.key, 'head', window.head, 'count', window.count, 'since', window.since)
      redis.call('PEXPIRE', window.key, KEEP)
      redis.call('PEXPIRE', window.ring, KEEP)
    end
  end
  set('head', app.head)
  set('count', app.count)
  local keep = math.max(now, pause, ban) + KEEP
  local renew = number_of('kept') < keep - 3600000
  if renew then set('kept', keep) end
  redis.call('HSET', app.key, unpack(changes))
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
local _, number = each_word(ARGV[2])
local limit, fixed, horizon = number(), number() == 1, number()
local backlogged, waiting = {}, {}
for class = 0, 2 do backlogged[class], waiting[class] = number(), number() end
if not fixed then limit = tonumber(state.limit) or limit end
local fullness = tonumber(state.fullness) or 0.7
local interval = 30000 / limit
local room = math.max(1, math.floor(limit + 1e-9))
local burst = math.max(1, 0.02 * limit)
local tat = number_of('tat')

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
if not state.generation then
  set('generation', time[1] .. '.' .. time[2])
  fill(app, room)
  set('since', now)
  tat = now + burst * interval
end

local candidates = {}
local word, number = each_word(ARGV[3])
for class in word do
  local each = {class = tonumber(class), weight = number(), bucket = number(), interval = number(),
    tolerance = number(), waited = number() == 1, wait = 0}
  each.family, each.family_limit, each.developer, each.developer_limit = number(), number(), number(), number()
  for place, calls in pairs({[each.family] = each.family_limit, [each.developer] = each.developer_limit}) do
    local window = extra_window(place)
    if window and not window.since then fill(window, calls) end
  end
  candidates[#candidates + 1] = each
end

local settled = false
local word, number = each_word(ARGV[4])
for booked in word do
  local let_through, full, test, weight = number() == 1, number() == 1, number() == 1, number()
  booked, settled = tonumber(booked), true
  move_all(booked, weight, number(), number())
  if let_through then
    redis.call('RPUSH', KEYS[2], string.format('%d %d %d', booked, now, weight))
    if full and not fixed then
      set('grown', number_of('grown') + weight)
      if number_of('saturated') == 0 then set('saturated', now) end
    elseif number_of('saturated') > 0 then
      set('saturated', 0)
    end
    if booked > episode and state.half == '1' then set('half', '0'); set('fails', 0) end
  end
  if test then set('test', 0) end
end
if settled and number_of('trimmed') < now - 1000 then
  local oldest = redis.call('LINDEX', KEYS[2], 0)
  while oldest and tonumber(string.match(oldest, ' (%d+)')) < now - 65000 do
    redis.call('LPOP', KEYS[2])
    oldest = redis.call('LINDEX', KEYS[2], 0)
  end
  redis.call('PEXPIRE', KEYS[2], 70000)
  set('trimmed', now)
end
-- A limit that is given is not learned: what was seen under it is no evidence.
if fixed and number_of('grown') > 0 then set('grown', 0) end

local uploaded = false
local word, number = each_word(ARGV[5])
for age in word do
  local at, weight, family, developer = math.floor((now - age) / 100), number(), number(), number()
  for _, window in pairs({app, extra_window(family), extra_window(developer)}) do
    -- A window that was lost counts as full anyway.
    if window.since and not window.fresh and at > tenth - SPAN then add(window, at, weight) end
  end
  uploaded = true
end
if uploaded then tat = math.max(tat, now + burst * interval) end

local saturated = number_of('saturated')
local function reply(granted, wait, candidate, taken, full, test)
  set('tat', string.format('%.3f', tat))
  save()
  local waits = {}
  for i, each in ipairs(candidates) do waits[i] = math.ceil(each.wait) end
  return string.format('%d %.1f %.3f %d %s %d %s %d %d %d %d %s %d %d|%s', granted, wait, limit,
    now + granted * wait, state.generation, candidate, taken, full, test, number_of('grown'),
    saturated > 0 and now - saturated or 0, state.version or '-', math.max(0, pause - now),
    math.max(0, ban - now), table.concat(waits, ' '))
end
if ban > now then return reply(0, ban - now, 0, '-', 0, 0) end

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

-- 1. What is the candidate's own: its account's bucket, its family's window. The first of each class that is ready.
local ready, soonest = {}, nil
for i, each in ipairs(candidates) do
  if not ready[each.class] then
    if each.bucket > 0 then
      each.tat = tonumber(redis.call('GET', KEYS[each.bucket]))
      if not each.tat then
        -- A bucket that is missing may have been drawn from a moment ago: it starts empty.
        each.tat = now + each.tolerance + each.interval
        redis.call('SET', KEYS[each.bucket], string.format('%.3f', each.tat), 'PX', math.ceil(each.tat - now) + KEEP)
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
local alone = state.asker == process and now - number_of('switched') > 700
if state.asker ~= process then set('asker', process); set('switched', now) end
if not alone then
  local all = redis.call('HGETALL', KEYS[3])
  for i = 1, #all, 2 do
    local _, value = each_word(all[i + 1])
    local silent = now - value()
    if silent > 60000 then
      redis.call('HDEL', KEYS[3], all[i])
    else
      for class = 0, 2 do
        local v, accounts = value(), value()
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
  redis.call('HSET', KEYS[3], process, string.format('%d %.9f %d %.9f %d %.9f %d', now, turns[0], backlogged[0],
    turns[1], backlogged[1], turns[2], backlogged[2]))
  redis.call('PEXPIRE', KEYS[3], 60000)
end
if not soonest or not next(ready) then
  enter()
  return reply(0, soonest or 1000, 0, '-', 0, 0)
end
local owed = {number_of('owed1'), number_of('owed2')}
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
if pause > now then wait, certain = pause - now, false end
if state.half == '1' and number_of('test') > now then
  wait, certain = math.max(wait, math.min(100, number_of('test') - now)), false
end
wait = math.max(wait, tat - math.max((burst - 1) * interval, 20) - now - 1, wait_for_room(app, room, weight))
if each and each.developer > 0 then
  wait = math.max(wait, wait_for_room(extra_window(each.developer), each.developer_limit, weight))
end
if each then wait = math.max(wait, each.wait <= 1 and 0 or each.wait) end
if wait > horizon or not certain then
  enter()
  return reply(0, math.max(1, wait), 0, '-', 0, 0)
end
-- Virtual time grows by one turn per backlogged account; nobody may run ahead.
local share = each and weight / math.max(1, backlogged[due]) or 0
if not each or (least[due] and turns[due] > least[due] + share + 1e-6) then
  enter()
  return reply(0, math.max(wait, shortly), 0, '-', 0, 0)
end

-- 4. Granted: booked everywhere.
local at = now + wait
local taken = '-'
if each.bucket > 0 then
  taken = string.format('%.3f', math.max(each.tat, at) + each.weight * each.interval)
  redis.call('SET', KEYS[each.bucket], taken, 'PX', math.ceil(taken - now) + KEEP)
end
for _, window in pairs({app, extra_window(each.family), extra_window(each.developer)}) do
  add(window, math.floor(at / 100), weight)
end
tat = math.max(tat, at) + weight * interval
local test = 0
if state.half == '1' then
  test = 1
  set('test', now + 25000)
end
for class = 1, 2 do
  if ready[class] or elsewhere[class] then
    local left = math.max(0, math.min(2, owed[class] + 0.05) - (class == due and 1 or 0))
    if left ~= owed[class] then set('owed' .. class, string.format('%.3f', left)) end
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
local _, number = each_word(ARGV[1])
local booked, asked, test, weight = number(), number(), number() == 1, number()
local family, developer, telling = number(), number(), number() == 1
if booked > 0 then move_all(booked, weight, family, developer) else booked = now end
if test then
  set('test', 0)
  set('fails', number_of('fails') + 1)
end
local fails = number_of('fails')
pause = math.max(pause, now + math.max(asked, fails > 0 and 5000 * 2 ^ math.min(fails - 1, 6) or 0))
set('pause', string.format('%d', pause))
set('tat', string.format('%d', pause))
set('half', '1')
-- A window that was lost stays without a generation: the next booking has to find it so.
if state.generation then set('generation', time[1] .. '.' .. time[2]) end
local is_new, sure, possible = telling and booked > episode, 0, 0
if is_new then
  set('episode', now)
  set('grown', 0)
  set('saturated', 0)
  for _, call in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    local _, value = each_word(call)
    local sent, answered, calls = value(), value(), value() or 1
    if sent > now - 30000 and answered <= booked then sure = sure + calls end
    if answered > booked - 30000 and sent < now then possible = possible + calls end
  end
end
save()
return {is_new and 1 or 0, sure, possible, string.format('%d', pause - now), string.format('%d', now)}
"""
)

BAN = (
    _APP
    + """
-- KEYS: the app's window. ARGV: how long. Nothing is learned from a ban, and no test call follows it.
ban = math.max(ban, now + tonumber(ARGV[1]))
set('ban', string.format('%d', ban))
save()
return 1
"""
)

REFUND = (
    _APP
    + """
-- KEYS: the app's window, the account's bucket, then as the arguments say.
-- ARGV: generation | booked, weight, whether it was the test call, limit where none is learned, whether it is fixed,
-- places of family and developer | what the bucket became by it ('-': there is none), the bucket's interval.
if state.generation ~= ARGV[1] then return 0 end
local _, number = each_word(ARGV[2])
local booked, weight, test, limit, fixed = number(), number(), number() == 1, number(), number() == 1
local family, developer = number(), number()
if not fixed then limit = tonumber(state.limit) or limit end
for _, window in pairs({app, extra_window(family), extra_window(developer)}) do
  take_out(window, booked, weight)
end
if test then set('test', 0) end
set('tat', string.format('%.3f', number_of('tat') - weight * 30000 / limit))
-- Only what was taken last can be given back: otherwise two calls could end up at one time.
if ARGV[3] ~= '-' and redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('SET', KEYS[2], string.format('%.3f', ARGV[3] - weight * ARGV[4]), 'KEEPTTL')
end
save()
return 1
"""
)

LEARN = """
-- KEYS: the app's window. ARGV: expected version, new version, limit, fullness, state, evidence used up.
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'limit', ARGV[3], 'fullness', ARGV[4], 'learned', ARGV[5])
if tonumber(ARGV[6]) > 0 then
  redis.call('HSET', KEYS[1], 'grown', math.max(0, tonumber(redis.call('HGET', KEYS[1], 'grown') or 0) - ARGV[6]))
end
return 1
"""
