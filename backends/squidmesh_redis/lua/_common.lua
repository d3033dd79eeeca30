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
local ARRIVALS = 2 ^ 28  -- then they begin again; only items of one and the same moment are told apart by them

local call = redis.call
local find, format, match, sub = string.find, string.format, string.match, string.sub

-- What concerns many items is asked and told in few calls, of so many arguments each: a call costs more than an argument.
local AT_ONCE = 500

-- `command` for all values, which may be pairs. Answers the sum of what it answers.
local function call_for_all(command, key, values)
  if #values <= AT_ONCE then return call(command, key, unpack(values)) end
  local sum = 0
  for first = 1, #values, AT_ONCE do
    sum = sum + call(command, key, unpack(values, first, math.min(first + AT_ONCE - 1, #values)))
  end
  return sum
end

-- ------------------------------------------------------------------------------------------------ what comes in

local at_argument = 0

local function refuse(what)
  error('squidmesh: argument ' .. at_argument .. ' is no ' .. what)
end

local function word()
  at_argument = at_argument + 1
  local found = ARGV[at_argument]
  if not found or not find(found, '^%S+$') then refuse('word') end
  return found
end

-- A whole number as text, as it stays.
local function digits()
  at_argument = at_argument + 1
  local found = ARGV[at_argument]
  if not found or not find(found, '^%d+$') then refuse('count') end
  if #found > 15 and tonumber(found) >= 9007199254740992 then refuse('count') end
  return found
end

local function number()
  return tonumber(digits())
end

local function none_or_word()
  local found = word()
  if found ~= '*' then return found end
end

local function complete(keys)
  if at_argument ~= #ARGV then refuse('argument at all') end
  if #KEYS < (keys or 18) then error('squidmesh: keys are missing') end
end

local function int(number)
  return format('%.0f', number)
end

-- ------------------------------------------------------------------------------------------- an item's own state

-- "arrival priority generation fence visible_at|concurrency key limit|owner hash fence length request position lapsed"
-- The second part is empty without a concurrency key (limit 0: none), the third without a holder. The arrival is 7
-- hexadecimal digits, so that it sorts as text. All parts are kept as text: a number that Lua turns into text by itself
-- loses digits, so what was calculated goes through int().
local STATE = '^(%x+) (%d) (%d+) (%d+) (%d+)|([^| ]*) ?(%d*)|(%S*) ?(%S*) ?(%d*) ?(%d*) ?(%S*) ?(%d*) ?(%d*)$'

local function pack(item)
  local state = item.arrival .. ' ' .. item.priority .. ' ' .. item.generation .. ' ' .. item.fence .. ' '
    .. item.visible_at .. '|'
  if item.group then state = state .. item.group .. ' ' .. item.limit end
  if not item.owner then return state .. '|' end
  return state .. '|' .. item.owner .. ' ' .. item.hash .. ' ' .. item.held_fence .. ' ' .. item.length .. ' '
    .. (item.request or '*') .. ' ' .. (item.position or '0') .. ' ' .. (item.lapsed or '0')
end

local function unpacked(state)
  local item = {}
  item.arrival, item.priority, item.generation, item.fence, item.visible_at, item.group, item.limit,
    item.owner, item.hash, item.held_fence, item.length, item.request, item.position, item.lapsed =
    match(state, STATE)
  if item.group == '' then item.group, item.limit = nil, nil end
  if item.owner == '' then item.owner = nil end
  return item
end

local function read(key)
  local state = call('HGET', ITEMS, key)
  if state then return unpacked(state) end
end

-- The items of these keys, each in its key's position; false where there is none.
local function read_all(keys)
  if #keys == 1 then return {read(keys[1]) or false} end
  local found = {}
  for first = 1, #keys, AT_ONCE do
    local states = call('HMGET', ITEMS, unpack(keys, first, math.min(first + AT_ONCE - 1, #keys)))
    for n = 1, math.min(AT_ONCE, #keys - first + 1) do
      found[first + n - 1] = states[n] and unpacked(states[n]) or false
    end
  end
  return found
end

local function write(key, item)
  call('HSET', ITEMS, key, pack(item))
end

local function leased_until(key)
  return tonumber(call('ZSCORE', LEASED, key) or 0)
end

local function at_or_below(generation, fence, known_generation, known_fence)
  generation, fence = tonumber(generation), tonumber(fence)
  known_generation, known_fence = tonumber(known_generation), tonumber(known_fence)
  return generation < known_generation or (generation == known_generation and fence <= known_fence)
end

local function greater(one, other)
  return tonumber(one) > tonumber(other) and one or other
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
  return item.arrival .. key
end

local function waiting_place(key, item)
  local since = string.rep('0', 17 - #item.visible_at) .. item.visible_at
  return item.group .. ' ' .. item.priority .. since .. item.arrival .. ' ' .. key
end

local function make_ready(key, item)
  call('ZADD', KEYS[READY + item.priority], item.visible_at, place(key, item))
end

local function hint(count)
  if count > 0 and call('LLEN', HINTS) < MOST_HINTS then
    local words = {}
    for n = 1, math.min(count, MOST_HINTS) do words[n] = '1' end
    call('RPUSH', HINTS, unpack(words))
    call('PEXPIRE', HINTS, HINT_LASTS)
  end
end

-- Key and place of the first that waits for this concurrency key; nil where nobody does.
local function first_waiting(group)
  local first = call('ZRANGEBYLEX', WAITING, '[' .. group .. ' ', '(' .. group .. '!', 'LIMIT', 0, 1)[1]
  if first then return match(first, '%S+$'), first end
end

local let_try = 0  -- how many; a script that ends leases answers it, so that somebody looks

-- A place has become free, or someone who had one in view is gone: the first that waits for it may try again.
local function let_next_try(group)
  local key, first = first_waiting(group)
  if not key then return end
  call('ZREM', WAITING, first)
  local item = read(key)
  if item then
    make_ready(key, item)
    let_try = let_try + 1
    hint(1)
  end
end

-- True if there was one.
local function end_lease(key, item)
  if call('ZREM', LEASED, key) == 0 then return false end
  if item.group then
    if call('HINCRBY', BUSY, item.group, -1) <= 0 then call('HDEL', BUSY, item.group) end
    let_next_try(item.group)
  end
  return true
end

local function leave_places(key, item)
  call('ZREM', KEYS[READY + item.priority], place(key, item))
  if item.group then call('ZREM', WAITING, waiting_place(key, item)) end
end

local function remove(key, item)
  call('HDEL', ITEMS, key)
  if end_lease(key, item) then return end
  leave_places(key, item)
  if item.group then let_next_try(item.group) end
end

-- As remove(), for many items without a concurrency key.
local function remove_all(keys, items)
  if #keys == 0 then return end
  call_for_all('HDEL', ITEMS, keys)
  if call_for_all('ZREM', LEASED, keys) == #keys then return end
  for n, key in ipairs(keys) do leave_places(key, items[n]) end
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
  if tonumber(length) > longest then
    longest = tonumber(length)
    call('HSET', LIFE, 'longest', length)
  end
end

local has_stones
local looked_up = {}  -- by key: what look_up_stones() found, or false
local fresh, fresh_stones = {}, {}  -- by key; and as pairs, for buried() to write

-- generation, fence and until; nothing where there is no tombstone.
local function stone(key)
  if has_stones == nil then has_stones = call('EXISTS', BURIED, OLDER) > 0 end
  local found = fresh[key]
  if not found and has_stones then
    found = looked_up[key]
    if found == nil then found = call('HGET', BURIED, key) or call('HGET', OLDER, key) end
  end
  if found then return match(found, '(%d+) (%d+) (%d+)') end
end

-- For many keys at once. What is buried after it in the same script stands in `fresh`.
local function look_up_stones(keys)
  if has_stones == nil then has_stones = call('EXISTS', BURIED, OLDER) > 0 end
  if not has_stones or #keys < 2 then return end
  for first = 1, #keys, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, #keys)
    local younger = call('HMGET', BURIED, unpack(keys, first, last))
    local older = call('HMGET', OLDER, unpack(keys, first, last))
    for n = first, last do looked_up[keys[n]] = younger[n - first + 1] or older[n - first + 1] end
  end
end

local function is_buried(key, generation, fence, at)
  local ended_generation, ended_fence, lasts_until = stone(key)
  if not ended_generation or tonumber(lasts_until) <= at then return false end
  return at_or_below(generation, fence, ended_generation, ended_fence)
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

-- The order is above every tombstone that the item may have: else it would not have been held. Written by buried().
local function bury(key, generation, fence, at)
  remember_length('0')
  if not turned_over then
    turn_over(at)
    turned_over = true
  end
  local lasts_until = int(at + 2 * longest)
  fresh[key] = generation .. ' ' .. fence .. ' ' .. lasts_until
  fresh_stones[#fresh_stones + 1] = key
  fresh_stones[#fresh_stones + 1] = fresh[key]
  return lasts_until
end

local function bury_unknown(key, generation, fence, at)
  local ended_generation, ended_fence = stone(key)
  if ended_generation and at_or_below(generation, fence, ended_generation, ended_fence) then
    generation, fence = ended_generation, ended_fence
  end
  return bury(key, generation, fence, at)
end

local function buried(lasts_until)
  if lasts_until then
    call_for_all('HSET', BURIED, fresh_stones)
    has_stones = true
    call('HSET', LIFE, 'buried_until', lasts_until)
    call('PEXPIRE', BURIED, int(2 * longest / 1000 + SPARE))
  end
end

-- ---------------------------------------------------------------------------------------------- bringing items

-- An item is one argument of 12 words: key, priority, generation, fence, delay, concurrency key or *, limit (0: none), and
-- of the recorded claim owner or *, hash or *, generation, fence, lease length. A claim that ends is one of 5: key,
-- generation, fence, hash of the claim id, lease length. To take a text apart costs less than to be told many.
local ITEM = '^(%S+) (%d) (%d+) (%d+) (%d+) (%S+) (%d+) (%S+) (%S+) (%d+) (%d+) (%d+)$'
local CLAIM = '^(%S+) (%d+) (%d+) (%S+) (%d+)$'

local function counts(...)
  for n = 1, select('#', ...) do
    local found = select(n, ...)
    if #found > 15 and tonumber(found) >= 9007199254740992 then refuse('count') end
  end
end

local function none_or(found)
  if found ~= '*' then return found end
end

local function argument_of_item()
  at_argument = at_argument + 1
  local key, priority, generation, fence, delay, group, limit, owner, hash, held_generation, held_fence, length =
    match(ARGV[at_argument] or '', ITEM)
  if not key then refuse('item') end
  counts(generation, fence, delay, limit, held_generation, held_fence, length)
  return {
    key = key, priority = priority, generation = generation, fence = fence, delay = tonumber(delay),
    group = none_or(group), limit = limit, owner = none_or(owner), hash = none_or(hash),
    held_generation = held_generation, held_fence = held_fence, length = length,
  }
end

local function argument_of_claim()
  at_argument = at_argument + 1
  local key, generation, fence, hash, length = match(ARGV[at_argument] or '', CLAIM)
  if not key then refuse('claim') end
  counts(generation, fence, length)
  return {key = key, generation = generation, fence = fence, hash = hash, length = length}
end

local function arrivals(count)
  local last = call('HINCRBY', LIFE, 'arrivals', count)
  return function()
    count = count - 1
    return string.format('%07x', (last - count) % ARRIVALS)
  end
end

-- Replaces the item's whole state, unless something newer or equal is `known` (protocol 3.5.6). True if it may be claimed
-- by somebody, now or later; nil if it is gone. What is to be written then is added to `new`, see put_all().
local function put(given, known, at, arrival, new)
  if known and at_or_below(given.generation, given.fence, known.generation, known.fence) then return false end
  if is_buried(given.key, given.generation, given.fence, at) then return nil end
  local item = {
    arrival = arrival(), priority = given.priority, generation = given.generation, fence = given.fence,
    visible_at = int(at + given.delay), group = given.group, limit = given.limit,
  }
  if known then remove(given.key, known) end
  if given.owner then
    remember_length(given.length)
    item.owner, item.hash, item.held_fence, item.length = given.owner, given.hash, given.held_fence, given.length
    item.generation = greater(item.generation, given.held_generation)
    item.fence = greater(item.fence, given.held_fence)
    if item.group then
      begin_lease(given.key, item, at + given.length)
    else
      new.leases[#new.leases + 1] = int(at + given.length)
      new.leases[#new.leases + 1] = given.key
    end
  else
    local ready = new.ready[item.priority] or {}
    new.ready[item.priority] = ready
    ready[#ready + 1] = item.visible_at
    ready[#ready + 1] = place(given.key, item)
  end
  new.states[#new.states + 1] = given.key
  new.states[#new.states + 1] = pack(item)
  return not given.owner
end

local function nothing_new()
  return {states = {}, ready = {}, leases = {}}
end

local function write_new(new)
  if #new.states == 0 then return end
  for priority, members in pairs(new.ready) do call_for_all('ZADD', KEYS[READY + priority], members) end
  if #new.leases > 0 then call_for_all('ZADD', LEASED, new.leases) end
  call_for_all('HSET', ITEMS, new.states)
end

-- Answers the positions of those that are gone.
local function put_all(items, at)
  local gone = {}
  if #items == 0 then return gone end
  local claimable, arrival = 0, arrivals(#items)
  local keys, new, brought = {}, nothing_new(), {}
  for n, given in ipairs(items) do keys[n] = given.key end
  local known = read_all(keys)
  look_up_stones(keys)
  for n, given in ipairs(items) do
    local key = given.key
    if brought[key] then  -- once more in the same call: as if it had come in the next one
      write_new(new)
      new, known[n] = nothing_new(), read(key)
    end
    brought[key] = true
    local may_be_claimed = put(given, known[n], at, arrival, new)
    if may_be_claimed then claimable = claimable + 1 end
    if may_be_claimed == nil then gone[#gone + 1] = n end
  end
  write_new(new)
  hint(claimable)
  return gone
end

-- ----------------------------------------------------------------------------------------------- what goes out

-- What one request of this owner was granted and still holds: key, generation, fence, length, position, lapsed and
-- concurrency key or '' of each.
local function granted_before(record, owner, request, at)
  local found = {}
  for key in string.gmatch(call('GET', record) or '', '%S+') do
    local item = read(key)
    if item and item.owner == owner and item.request == request and leased_until(key) > at then
      local n = #found
      found[n + 1], found[n + 2], found[n + 3], found[n + 4] = key, item.generation, item.held_fence, item.length
      found[n + 5], found[n + 6], found[n + 7] = item.position, item.lapsed, item.group or ''
    end
  end
  return found
end

-- How long until something can be claimed by time alone; '' where nothing is known. `first` is the earliest moment at
-- which an item becomes visible, if any does.
local function next_due(at, first)
  local ends_at = call('ZRANGEBYSCORE', LEASED, '(' .. int(at), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if ends_at and (not first or tonumber(ends_at) < first) then first = tonumber(ends_at) end
  return first and int(first - at) or ''
end

local function incarnation(candidate)
  local found = call('HGET', LIFE, 'incarnation')
  if not found then
    found = candidate
    call('HSET', LIFE, 'incarnation', found)
  end
  return found
end
