"""What runs inside Redis: booking a turn in all limits or in none, and telling what became of calls.

What belongs here: the Lua scripts, each atomic and on Redis' own clock, and what their arguments mean. What does
not: calling them (``shared``), the arithmetic of the unknown limit (``learning``).

An app's window is a hash: per tenth of a second (``b<tenth>``) how many calls were booked or answered in it,
``count`` of them in all, ``head`` the oldest tenth. A call stays in the window until 30 seconds after its answer:
whatever the delays, the server can't have counted more than that. Times are milliseconds.
"""

__all__ = ["ASK", "LEARN", "REFUND", "REFUSED"]

_WINDOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tenth = math.floor(now / 100)
-- A tenth is left behind once all of it is older than 30 seconds.
local SPAN = 301
local KEEP = 7 * 86400000

local app, passed = KEYS[1], KEYS[2]
local state = redis.call('HMGET', app, 'generation', 'head', 'count', 'pause', 'episode')
local generation, head, count = state[1], tonumber(state[2]) or tenth, tonumber(state[3]) or 0
local pause, episode = tonumber(state[4]) or 0, tonumber(state[5]) or 0
local settled = false

local function add(at, calls)
  redis.call('HINCRBY', app, 'b' .. at, calls)
  count = count + calls
  if calls > 0 then head = math.min(head, at) end
end

-- What became of a call: it leaves the tenth of its booking for that of its answer.
local function settle(booked, let_through, full, test)
  settled = true
  local at = math.floor(booked / 100)
  if (tonumber(redis.call('HGET', app, 'b' .. at)) or 0) > 0 then add(at, -1) end
  add(tenth, 1)
  if let_through then
    redis.call('RPUSH', passed, string.format('%d %d', booked, now))
    if full then redis.call('HINCRBY', app, 'grown', 1) else redis.call('HDEL', app, 'saturated') end
    if full then redis.call('HSETNX', app, 'saturated', now) end
    if booked > episode then redis.call('HDEL', app, 'half', 'fails') end
  end
  if test then redis.call('HDEL', app, 'test') end
end

local function tidy()
  while count > 0 and head <= tenth - SPAN do
    count = count - (tonumber(redis.call('HGET', app, 'b' .. head)) or 0)
    redis.call('HDEL', app, 'b' .. head)
    head = head + 1
  end
  if count <= 0 then head = tenth end
  while settled do
    local oldest = redis.call('LINDEX', passed, 0)
    if not oldest or tonumber(string.match(oldest, ' (%d+)')) > now - 65000 then break end
    redis.call('LPOP', passed)
  end
  if settled then redis.call('PEXPIRE', passed, 70000) end
  redis.call('HSET', app, 'head', head, 'count', count)
  redis.call('PEXPIRE', app, math.max(pause - now, 0) + KEEP)
end
"""

ASK = (
    _WINDOW
    + """
-- KEYS: the app's window, calls that passed, processes, then the bucket of each candidate (the window's own key
-- where there is none).
-- ARGV: limit where none is learned, whether it is fixed, process, its backlogged accounts, its waiting calls;
-- candidates: number, then interval and tolerance (0: no bucket), waiting since (1 or 0);
-- answers: number, then booked, let through, full, test; calls made without us: number, then age.
local next_argument = 0
local function take() next_argument = next_argument + 1; return ARGV[next_argument] end
local limit, fixed, process = tonumber(take()), take() == '1', take()
local backlogged, waiting = tonumber(take()), tonumber(take())
local learned = redis.call('HMGET', app, 'limit', 'fullness', 'tat')
if not fixed then limit = tonumber(learned[1]) or limit end
local fullness = tonumber(learned[2]) or 0.7
local interval = 30000 / limit
local room = math.max(1, math.floor(limit + 1e-9))
local burst = math.max(1, 0.02 * limit)
local tat = tonumber(learned[3]) or 0

local fresh = not generation
if fresh then
  -- Lost, or new: what was sent just now is unknown. So the window counts as full, and empties evenly.
  generation = time[1] .. '.' .. time[2]
  local due = 0
  for i = 0, 299 do
    local calls = math.floor((i + 1) * room / 300) - math.floor(i * room / 300)
    if calls > 0 then add(tenth - 300 + i, calls) end
  end
  tat = now + burst * interval
  redis.call('HSET', app, 'generation', generation, 'tat', string.format('%.3f', tat))
end

local candidates = {}
for i = 1, tonumber(take()) do
  candidates[i] = {interval = tonumber(take()), tolerance = tonumber(take()), waited = take() == '1', wait = 0}
end
for _ = 1, tonumber(take()) do
  local booked, let_through, full, test = tonumber(take()), take() == '1', take() == '1', take() == '1'
  settle(booked, let_through, full, test)
end
local uploads = tonumber(take())
for _ = 1, uploads do
  local age = tonumber(take())
  -- A window that was lost counts as full anyway.
  if not fresh and age < 30000 then add(math.floor((now - age) / 100), 1) end
end
if uploads > 0 then tat = math.max(tat, now + burst * interval) end
tidy()

local facts = redis.call('HMGET', app, 'grown', 'saturated', 'version', 'half', 'test')
local saturated = facts[2] and now - tonumber(facts[2]) or 0
local function reply(granted, wait, candidate, taken, full, test)
  local waits = {}
  for i, each in ipairs(candidates) do waits[i] = math.ceil(each.wait) end
  return {granted, string.format('%.1f', wait), string.format('%.3f', limit), string.format('%d', now), generation,
    candidate, taken, full, test, tonumber(facts[1]) or 0, saturated, facts[3] or '', math.max(0, pause - now), waits}
end

-- 1. The account's own bucket: the first candidate whose bucket has a call to give.
local chosen, soonest = nil, math.huge
for i, each in ipairs(candidates) do
  if each.interval > 0 then
    local key = KEYS[3 + i]
    each.tat = tonumber(redis.call('HGET', key, 'tat') or 0)
    if each.tat == 0 then
      -- A bucket that is missing may have been drawn from a moment ago: it starts empty.
      each.tat = now + each.tolerance + each.interval
      redis.call('HSET', key, 'tat', string.format('%.3f', each.tat))
      redis.call('PEXPIRE', key, math.ceil(each.tat - now) + KEEP)
    end
    each.wait = math.max(0, each.tat - each.tolerance - now)
  end
  if each.wait <= 1 and not chosen then chosen = i end
  soonest = math.min(soonest, each.wait)
end
if not chosen then
  local own = redis.call('HGET', KEYS[3], process)
  -- Who can't use a turn holds nobody up.
  if own then redis.call('HSET', KEYS[3], process, (string.gsub(own, '%d$', '0'))) end
  return reply(0, soonest == math.huge and 1000 or soonest, 0, '', 0, 0)
end

-- 2. The app: pause, the one test call after it, pace, room in the window.
local wait = pause - now
if facts[4] and facts[5] and tonumber(facts[5]) > now then
  wait = math.max(wait, math.min(100, tonumber(facts[5]) - now))
end
wait = math.max(wait, tat - math.max((burst - 1) * interval, 20) - now - 1)
if count >= room then
  local free, at = count - room, head
  while free >= 0 and at <= tenth do
    free = free - (tonumber(redis.call('HGET', app, 'b' .. at)) or 0)
    at = at + 1
  end
  wait = math.max(wait, (at + SPAN - 1) * 100 - now)
end

-- 3. The other processes: virtual time grows by one turn per backlogged account; nobody may run ahead.
local mine, least, was_active = 0, nil, false
local all = redis.call('HGETALL', KEYS[3])
for i = 1, #all, 2 do
  local v, seen, active = string.match(all[i + 1], '([^ ]+) ([^ ]+) ([^ ]+)')
  local silent = now - tonumber(seen)
  if all[i] == process then
    mine, was_active = tonumber(v), active == '1' and silent <= 600
  elseif silent > 60000 then
    redis.call('HDEL', KEYS[3], all[i])
  elseif active == '1' and silent <= 600 and (not least or tonumber(v) < least) then
    least = tonumber(v)
  end
end
least = least or mine
-- Whoever comes back has no claim to the turns of the time when it wanted none.
if not was_active then mine = math.max(mine, least) end
local share = 1 / math.max(1, backlogged)
local function enter(v, active)
  redis.call('HSET', KEYS[3], process, string.format('%.9f %d %d', v, now, active))
end
enter(mine, 1)
redis.call('PEXPIRE', KEYS[3], 60000)
if wait > 0 then return reply(0, math.max(1, wait), 0, '', 0, 0) end
if mine > least + share + 1e-6 then return reply(0, math.min(20, math.max(2, interval / 4)), 0, '', 0, 0) end

-- 4. Granted: booked everywhere.
local each = candidates[chosen]
local taken = ''
if each.interval > 0 then
  taken = string.format('%.3f', math.max(each.tat, now) + each.interval)
  redis.call('HSET', KEYS[3 + chosen], 'tat', taken)
  redis.call('PEXPIRE', KEYS[3 + chosen], math.ceil(taken - now) + KEEP)
end
add(tenth, 1)
redis.call('HSET', app, 'count', count, 'head', head, 'tat', string.format('%.3f', math.max(tat, now) + interval))
local test = 0
if facts[4] then
  test = 1
  redis.call('HSET', app, 'test', now + 25000)
end
enter(mine + share, waiting > 1 and 1 or 0)
local full = each.waited and count >= fullness * room
return reply(1, 0, chosen, taken, full and 1 or 0, test)
"""
)

REFUSED = (
    _WINDOW
    + """
-- KEYS: the app's window, calls that passed.
-- ARGV: booked ('' where it was not booked here), pause, whether it was the test call.
local booked, test = tonumber(ARGV[1]), ARGV[3] == '1'
if booked then settle(booked, false, false, test) else booked = now end
local fails = tonumber(redis.call('HGET', app, 'fails') or 0)
if test then fails = redis.call('HINCRBY', app, 'fails', 1) end
local floor = fails > 0 and 5000 * 2 ^ math.min(fails - 1, 6) or 0
pause = math.max(pause, now + math.max(tonumber(ARGV[2]), floor))
redis.call('HSET', app, 'pause', string.format('%d', pause), 'tat', string.format('%d', pause), 'half', 1)
-- A window that was lost stays without a generation: the next booking has to find it so.
if generation then redis.call('HSET', app, 'generation', time[1] .. '.' .. time[2]) end
local is_new, sure, possible = booked > episode, 0, 0
if is_new then
  redis.call('HSET', app, 'episode', now)
  redis.call('HDEL', app, 'grown', 'saturated')
  for _, call in ipairs(redis.call('LRANGE', passed, 0, -1)) do
    local sent, answered = string.match(call, '(%d+) (%d+)')
    sent, answered = tonumber(sent), tonumber(answered)
    if sent > now - 30000 and answered <= booked then sure = sure + 1 end
    if answered > booked - 30000 and sent < now then possible = possible + 1 end
  end
end
tidy()
return {is_new and 1 or 0, sure, possible, string.format('%d', pause - now), string.format('%d', now)}
"""
)

REFUND = """
-- KEYS: the app's window, the account's bucket. ARGV: generation, booked, taken, interval, test.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
local at = 'b' .. math.floor(tonumber(ARGV[2]) / 100)
if (tonumber(redis.call('HGET', KEYS[1], at)) or 0) > 0 then
  redis.call('HINCRBY', KEYS[1], at, -1)
  redis.call('HINCRBY', KEYS[1], 'count', -1)
end
if ARGV[5] == '1' then redis.call('HDEL', KEYS[1], 'test') end
-- Only what was taken last can be given back: otherwise two calls could end up at one time.
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'tat') == ARGV[3] then
  redis.call('HSET', KEYS[2], 'tat', string.format('%.3f', tonumber(ARGV[3]) - tonumber(ARGV[4])))
end
return 1
"""

LEARN = """
-- KEYS: the app's window. ARGV: expected version, new version, limit, fullness, state, evidence used up.
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'limit', ARGV[3], 'fullness', ARGV[4], 'learned', ARGV[5])
if tonumber(ARGV[6]) > 0 then
  redis.call('HSET', KEYS[1], 'grown', math.max(0, tonumber(redis.call('HGET', KEYS[1], 'grown') or 0) - ARGV[6]))
end
return 1
"""
