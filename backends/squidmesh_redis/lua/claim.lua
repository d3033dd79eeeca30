-- Grants up to a limit of visible items to an owner, in order of priority, visibility and arrival.
-- KEYS: the queue's, then the record of the request (a string: keys granted; it lasts for one lease).
-- ARGV: candidate for a new incarnation; owner; hash of the request id; lease length; item key or *; whether to go on
--   with this request (1) or to answer what it was granted before (0); first position; how many claims at most;
--   then one hash of a claim id for each; how many visible items to begin after; how many steps to pass over; they.
-- Returns: incarnation; next due or ''; how many visible items to begin after the next time (0: with the first); then
--   key, generation, fence, lease length, position, leases lapsed before, and concurrency key or '', of each claim.
local candidate, owner, request, length = word(), word(), word(), digits()
local only, goes_on, position, limit = none_or_word(), digits() == '1', number(), number()
local hashes, passed_over = {}, {}
for n = 1, limit do hashes[n] = word() end
local start, steps = number(), number()
for _ = 1, steps do passed_over[word()] = true end
complete()
local RECORD = KEYS[19]
local MOST_LOOKS, PAGE = limit + 1000, 100

local at = now()
may_grow()
local life = call('HMGET', LIFE, 'incarnation', 'paused', 'longest')
longest = tonumber(life[3] or 0)
local answer = {life[1] or incarnation(candidate), '', '0'}

if not goes_on then
  local before = granted_before(RECORD, owner, request, at)
  if #before > 0 then
    for _, told in ipairs(before) do answer[#answer + 1] = told end
    return answer
  end
end
if life[2] then return answer end

remember_length(length)
take_back_ended(at)
local granted, states, leases = {}, {}, {}
local ends_at = int(at + length)

local function grant(key, item)
  item.fence = int(item.fence + 1)
  item.lapsed = item.owner and int(item.lapsed + 1) or '0'
  item.owner, item.hash, item.held_fence = owner, hashes[#granted + 1], item.fence
  item.length, item.request, item.position = length, request, int(position + #granted)
  if item.group then call('HINCRBY', BUSY, item.group, 1) end  -- what is granted here is not leased
  granted[#granted + 1] = key
  local n = 2 * #granted
  leases[n - 1], leases[n] = ends_at, key
  states[n - 1], states[n] = key, pack(item)
  n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = key, item.generation, item.fence
  answer[n + 4], answer[n + 5], answer[n + 6], answer[n + 7] = length, item.position, item.lapsed, item.group or ''
end

local function at_its_limit(item)
  return item.group and item.limit ~= '0' and tonumber(call('HGET', BUSY, item.group) or 0) >= tonumber(item.limit)
end

-- Limits of one key may differ: who ran alone may leave room for several. So whoever is granted lets the first of those
-- that wait try too, where that one has room.
local function fill_places(group)
  local key = first_waiting(group)
  local item = key and read(key)
  if item and not at_its_limit(item) then let_next_try(group) end
end

local looks, first_later = 0, nil

-- What its concurrency key holds back is put aside, so that a crowd of such items is walked past once, not each time.
local function take_all(ready, members)
  if #members == 0 then return end
  call_for_all('ZREM', ready, members)
  local keys = {}
  for n, member in ipairs(members) do keys[n] = sub(member, 8) end
  for n, item in ipairs(read_all(keys)) do
    local key = keys[n]
    if item and place(key, item) == members[n] then
      if at_its_limit(item) then
        call('ZADD', WAITING, 0, waiting_place(key, item))
      else
        grant(key, item)
        if item.group then fill_places(item.group) end
      end
    end
  end
end

local function is_passed_over(member)
  return steps > 0 and passed_over[string.match(member, '/([^#/]+)#%d+$')]
end

-- `from`: how many members to begin after. Answers how many it has left standing before it, those included.
local function look(ready, from)
  while #granted < limit and looks < MOST_LOOKS do
    local wanted = steps > 0 and PAGE or limit - #granted
    local found = call('ZRANGE', ready, int(from), int(from + wanted - 1), 'WITHSCORES')
    local members, goes_on_behind = {}, #found == 2 * wanted
    for n = 1, #found, 2 do
      local visible_at = tonumber(found[n + 1])
      if visible_at > at then
        if not first_later or visible_at < first_later then first_later = visible_at end
        goes_on_behind = false
        break
      elseif #granted + #members == limit or looks == MOST_LOOKS then
        goes_on_behind = true  -- with those that are not granted after all
        break
      end
      looks = looks + 1
      if is_passed_over(found[n]) then
        from = from + 1
      else
        members[#members + 1] = found[n]
      end
    end
    take_all(ready, members)
    if not goes_on_behind then return from end
  end
  return from
end

local stands_before = 0

local function look_everywhere()
  local left = start
  for priority = 0, 9 do
    local ready = KEYS[READY + priority]
    local visible = left > 0 and call('ZCOUNT', ready, '-inf', int(at)) or 0
    if left > 0 and left >= visible then
      left, stands_before = left - visible, stands_before + visible
    elseif #granted < limit and looks < MOST_LOOKS then
      stands_before = stands_before + look(ready, left)
      left = 0
    end
  end
end

if only then
  local item = read(only)
  if item and tonumber(item.visible_at) <= at and leased_until(only) == 0 and not at_its_limit(item) then
    leave_places(only, item)
    grant(only, item)
  end
else
  look_everywhere()
  if #granted < limit and looks < MOST_LOOKS then
    call('DEL', HINTS)
  else
    hint(1)
  end
end

if #granted > 0 then
  call_for_all('ZADD', LEASED, leases)
  call_for_all('HSET', ITEMS, states)
  local keys = table.concat(granted, ' ')
  if goes_on then keys = (call('GET', RECORD) or '') .. ' ' .. keys end
  call('SET', RECORD, keys, 'PX', int(math.ceil(length / 1000)))
end
if #granted < limit then
  local left_over = looks >= MOST_LOOKS or call('ZCOUNT', LEASED, '-inf', int(at)) > 0
  answer[2] = left_over and '0' or next_due(at, first_later)
end
if steps > 0 and looks >= MOST_LOOKS then answer[3] = int(stands_before) end
return answer
