-- What the scripts of one queue share. The loader puts _now.lua and this in front of each of them.
--
-- KEYS, in every script: the keys of one queue, all in one hash slot.
--   1  life     hash     incarnation, arrivals, longest (lease), paused, cursor, sweeper, tombstones' ages. Stays.
--   2  items    hash     item key -> its state, see pack()
--   3  leased   zset     item key, by the end of its lease. Who stands here is counted in `busy`.
--   4  waiting  zset     "concurrency key, place, item key", all of score 0: visible, but its key was at its limit
--   5  busy     hash     concurrency key -> how many leases of it live
--   6  buried   hash     item key -> "generation fence until": the younger tombstones
--   7  older    hash     the older tombstones; thrown away as a whole when the last of them is over
--   8  hints    list     a word for each idle worker that should look
--   9  ready:0 … 18  ready:9   zset   "arrival, item key", by visible_at; one a priority
--
-- An item stands in exactly one of leased, waiting and ready. A lease that ended is moved from leased to ready by the
-- next claim; what is known of it stays with the item until the next grant, so that its holder may still settle.
--
-- Out of memory, a server refuses a script's *first* write if that write could grow the memory. So scripts that end
-- work begin with a deletion (may_grow); scripts that bring work do not, and are refused before they change anything.

local LIFE, ITEMS, LEASED, WAITING, BUSY, BURIED, OLDER, HINTS =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local READY = 9
local ENDED_AT_ONCE, MOST_HINTS, HINT_LASTS, SPARE = 1000, 16, 60000, 60000

local call = redis.call

-- ------------------------------------------------------------------------------------------------ what comes in

local at_argument = 0

local function refuse(what)
  error('squidmesh: argument ' .. at_argument .. ' is no ' .. what)
end

local function word()
  at_argument = at_argument + 1
  local found = ARGV[at_argument]
  if not found or found == '' or string.find(found, '%s') then refuse('word') end
  return found
end

local function number()
  at_argument = at_argument + 1
  local found = tonumber(ARGV[at_argument])
  if not found or found < 0 or found >= 9007199254740992 or found % 1 ~= 0 then refuse('count') end
  return found
end

local function none_or_word()
  local found = word()
  if found ~= '*' then return found end
end

local function complete()
  if at_argument ~= #ARGV then refuse('argument at all') end
  if #KEYS < 18 then error('squidmesh: keys are missing') end
end

local function int(number)
  return string.format('%.0f', number)
end

-- ------------------------------------------------------------------------------------------- an item's own state

-- "arrival priority generation fence visible_at", then with a concurrency key " key limit", then with a holder
-- " owner hash fence length request position". Numbers are whole; the limit 0 is none; times are microseconds.
local function pack(item)
  local parts = {
    int(item.arrival), int(item.priority), int(item.generation), int(item.fence), int(item.visible_at),
  }
  if item.group then
    parts[6], parts[7] = item.group, int(item.limit)
  end
  if item.owner then
    local n = #parts
    parts[n + 1], parts[n + 2], parts[n + 3] = item.owner, item.hash, int(item.held_fence)
    parts[n + 4], parts[n + 5], parts[n + 6] = int(item.length), item.request or '*', int(item.position or 0)
  end
  return table.concat(parts, ' ')
end

local function unpacked(state)
  local parts = {}
  for part in string.gmatch(state, '%S+') do parts[#parts + 1] = part end
  local item = {
    arrival = tonumber(parts[1]), priority = tonumber(parts[2]), generation = tonumber(parts[3]),
    fence = tonumber(parts[4]), visible_at = tonumber(parts[5]),
  }
  local n = 5
  if #parts == 7 or #parts == 13 then
    item.group, item.limit = parts[6], tonumber(parts[7])
    n = 7
  end
  if #parts > n then
    item.owner, item.hash, item.held_fence = parts[n + 1], parts[n + 2], tonumber(parts[n + 3])
    item.length, item.request, item.position = tonumber(parts[n + 4]), parts[n + 5], tonumber(parts[n + 6])
  end
  return item
end

local function read(key)
  local state = call('HGET', ITEMS, key)
  if state then return unpacked(state) end
end

local function write(key, item)
  call('HSET', ITEMS, key, pack(item))
end

local function leased_until(key)
  return tonumber(call('ZSCORE', LEASED, key) or 0)
end

local function at_or_below(generation, fence, known_generation, known_fence)
  return generation < known_generation or (generation == known_generation and fence <= known_fence)
end

-- Whether this claim was the last one to hold the item: id *and* fence match (protocol 3.5.3).
local function holds(item, claim)
  return item and item.owner and item.generation == claim.generation and item.hash == claim.hash
    and item.held_fence == claim.fence
end

-- ------------------------------------------------------------------------------------------------- the places

local function may_grow()
  call('HDEL', LIFE, '-')
end

local function place(key, item)
  return string.format('%09x', item.arrival) .. key
end

local function waiting_place(key, item)
  return string.format('%s %d%017.0f%09x %s', item.group, item.priority, item.visible_at, item.arrival, key)
end

local function make_ready(key, item)
  call('ZADD', KEYS[READY + item.priority], int(item.visible_at), place(key, item))
end

local function hint(count)
  if count > 0 and call('LLEN', HINTS) < MOST_HINTS then
    local words = {}
    for n = 1, math.min(count, MOST_HINTS) do words[n] = '1' end
    call('RPUSH', HINTS, unpack(words))
    call('PEXPIRE', HINTS, HINT_LASTS)
  end
end

-- A place has become free, or someone who had one in view is gone: the first that waits for it may try again.
local function let_next_try(group)
  local first = call('ZRANGEBYLEX', WAITING, '[' .. group .. ' ', '(' .. group .. '!', 'LIMIT', 0, 1)[1]
  if not first then return end
  call('ZREM', WAITING, first)
  local key = string.match(first, '%S+$')
  local item = read(key)
  if item then
    make_ready(key, item)
    hint(1)
  end
end

local function end_lease(key, item)
  if call('ZREM', LEASED, key) == 1 and item.group then
    if call('HINCRBY', BUSY, item.group, -1) <= 0 then call('HDEL', BUSY, item.group) end
    let_next_try(item.group)
  end
end

local function leave_places(key, item)
  call('ZREM', KEYS[READY + item.priority], place(key, item))
  if item.group then call('ZREM', WAITING, waiting_place(key, item)) end
end

local function remove(key, item)
  call('HDEL', ITEMS, key)
  leave_places(key, item)
  end_lease(key, item)
  if item.group then let_next_try(item.group) end
end

local function begin_lease(key, item, ends_at)
  if call('ZADD', LEASED, int(ends_at), key) == 1 and item.group then call('HINCRBY', BUSY, item.group, 1) end
end

-- Leases that ended go back to their place. Bounded: what is left over is for the next call.
local function take_back_ended(at)
  for _, key in ipairs(call('ZRANGEBYSCORE', LEASED, '-inf', int(at), 'LIMIT', 0, ENDED_AT_ONCE)) do
    local item = read(key)
    if item then
      end_lease(key, item)
      make_ready(key, item)
    else
      call('ZREM', LEASED, key)
    end
  end
end

-- ------------------------------------------------------------------------------------------------- tombstones

local longest

local function remember_length(length)
  longest = longest or tonumber(call('HGET', LIFE, 'longest') or 0)
  if length > longest then
    longest = length
    call('HSET', LIFE, 'longest', int(length))
  end
end

local function is_buried(key, generation, fence, at)
  local stone = call('HGET', BURIED, key) or call('HGET', OLDER, key)
  if not stone then return false end
  local ended_generation, ended_fence, lasts_until = string.match(stone, '(%d+) (%d+) (%d+)')
  return at_or_below(generation, fence, tonumber(ended_generation), tonumber(ended_fence))
    and tonumber(lasts_until) > at
end

-- Two hashes take turns, so that tombstones leave by the thousand and for nothing: the older one is thrown away when
-- the last of it is over, and the younger one takes its place. If nobody calls any more, both expire by themselves.
local function turn_over(at)
  local older_until = tonumber(call('HGET', LIFE, 'older_until') or 0)
  if older_until > at then return end
  call('UNLINK', OLDER)
  if call('EXISTS', BURIED) == 1 then
    call('RENAME', BURIED, OLDER)
    call('HSET', LIFE, 'older_until', call('HGET', LIFE, 'buried_until') or 0)
  end
end

local turned_over = false

local function bury(key, generation, fence, at)
  remember_length(0)
  if not turned_over then
    turn_over(at)
    turned_over = true
  end
  local stone = call('HGET', BURIED, key) or call('HGET', OLDER, key)
  if stone then
    local ended_generation, ended_fence = string.match(stone, '(%d+) (%d+)')
    ended_generation, ended_fence = tonumber(ended_generation), tonumber(ended_fence)
    if at_or_below(generation, fence, ended_generation, ended_fence) then
      generation, fence = ended_generation, ended_fence
    end
  end
  local lasts_until = int(at + 2 * longest)
  call('HSET', BURIED, key, int(generation) .. ' ' .. int(fence) .. ' ' .. lasts_until)
  return lasts_until
end

local function buried(lasts_until)
  if lasts_until then
    call('HSET', LIFE, 'buried_until', lasts_until)
    call('PEXPIRE', BURIED, int(2 * longest / 1000 + SPARE))
  end
end

-- ---------------------------------------------------------------------------------------------- bringing items

-- 12 arguments an item: key, priority, generation, fence, delay, concurrency key or *, limit (0: none), and of the
-- recorded claim owner or *, hash or *, generation, fence, lease length.
local function arguments_of_item()
  local given = {
    key = word(), priority = number(), generation = number(), fence = number(), delay = number(),
    group = none_or_word(), limit = number(),
    owner = none_or_word(), hash = none_or_word(), held_generation = number(), held_fence = number(), length = number(),
  }
  if given.priority > 9 then refuse('priority') end
  return given
end

-- Replaces the item's whole state, unless something newer or equal is known (protocol 3.5.6). True if it may be claimed
-- by somebody, now or later.
local function put(given, at)
  local known = read(given.key)
  if known and at_or_below(given.generation, given.fence, known.generation, known.fence) then return false end
  if is_buried(given.key, given.generation, given.fence, at) then return false end
  local item = {
    arrival = call('HINCRBY', LIFE, 'arrivals', 1), priority = given.priority, generation = given.generation,
    fence = given.fence, visible_at = at + given.delay, group = given.group, limit = given.limit,
  }
  if known then remove(given.key, known) end
  if given.owner then
    remember_length(given.length)
    item.owner, item.hash, item.held_fence, item.length = given.owner, given.hash, given.held_fence, given.length
    item.generation = math.max(item.generation, given.held_generation)
    item.fence = math.max(item.fence, given.held_fence)
    begin_lease(given.key, item, at + given.length)
  else
    make_ready(given.key, item)
  end
  write(given.key, item)
  return not given.owner
end

local function put_all(items, at)
  local claimable = 0
  for _, given in ipairs(items) do
    if put(given, at) then claimable = claimable + 1 end
  end
  hint(claimable)
end

-- ----------------------------------------------------------------------------------------------- what goes out

-- What one request of this owner was granted and still holds: key, generation, fence, length, position of each.
local function granted_before(record, owner, request, at)
  local found = {}
  for key in string.gmatch(call('GET', record) or '', '%S+') do
    local item = read(key)
    if item and item.owner == owner and item.request == request and leased_until(key) > at then
      for _, told in ipairs({key, int(item.generation), int(item.held_fence), int(item.length), int(item.position)}) do
        found[#found + 1] = told
      end
    end
  end
  return found
end

-- How long until something can be claimed by time alone; '' where nothing is known.
local function next_due(at)
  local first
  local function consider(found)
    local moment = tonumber(found[2])
    if moment and (not first or moment < first) then first = moment end
  end
  consider(call('ZRANGE', LEASED, 0, 0, 'WITHSCORES'))
  for priority = 0, 9 do
    consider(call('ZRANGEBYSCORE', KEYS[READY + priority], '(' .. int(at), '+inf', 'WITHSCORES', 'LIMIT', 0, 1))
  end
  return first and int(math.max(0, first - at)) or ''
end

local function incarnation(candidate)
  local found = call('HGET', LIFE, 'incarnation')
  if not found then
    found = candidate
    call('HSET', LIFE, 'incarnation', found)
  end
  return found
end
