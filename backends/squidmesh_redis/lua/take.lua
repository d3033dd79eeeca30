-- The queues whose turn it is, of those that the caller wants: they go to the back of the line, and bear the caller's
-- token until somebody marks them or looks at them in his turn.
-- KEYS: the index's (see _index), then a set of the names that are wanted.
-- ARGV: token; how many queues at most; how many due ones to begin after; how many names are wanted; how many prefixes
--   are; they. (The prefix `*` stands for every queue.)
-- Returns: 1, or 0 where the set is not there any more and has to be told again; how many due ones to begin after to find
--   more of them, or '' where there are none; how long until another one is due, or '' (told only then); the names.
local token, limit, start, wanted = word(), number(), number(), number()
local prefixes = {}
for n = 1, number() do prefixes[n] = word() end
complete(3)
local WANTED = KEYS[3]
local MOST_LOOKS, PAGE = 1000, math.max(32, math.min(limit, 500))

if wanted > 0 then
  if call('SCARD', WANTED) ~= wanted then return {'0', '', ''} end
  call('PEXPIRE', WANTED, WANTED_LASTS)
end

-- Which of these names are wanted.
local function matching(names)
  local found, others, places = {}, {}, {}
  for n, name in ipairs(names) do
    for _, prefix in ipairs(prefixes) do
      if prefix == '*' or sub(name, 1, #prefix) == prefix then found[n] = true end
    end
    if not found[n] then others[#others + 1], places[#places + 1] = name, n end
  end
  if wanted > 0 and #others > 0 then
    for n, is_member in ipairs(call('SMISMEMBER', WANTED, unpack(others))) do
      if is_member == 1 then found[places[n]] = true end
    end
  end
  return found
end

local at = now()
local until_ = int(at + NOW)
local taken, place, left, looks, ended = {}, start, start, 0, false
while #taken < limit and looks < MOST_LOOKS and not ended do
  local names = call('ZRANGEBYSCORE', QUEUES, '-inf', until_, 'LIMIT', int(place), int(PAGE))
  ended = #names < PAGE
  local found = matching(names)
  local tokens = #names > 0 and call('HMGET', LOOKS, unpack(names)) or {}
  for n, name in ipairs(names) do
    if #taken == limit then
      ended = false
      break
    end
    place, looks = place + 1, looks + 1
    if found[n] and tokens[n] ~= token then
      taken[#taken + 1] = name
    else
      left = left + 1
    end
  end
end

local answer = {'1', ended and '' or int(left), ''}
if #taken > 0 then
  local back = tonumber(call('ZREVRANGEBYSCORE', QUEUES, until_, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
  local marks, looked = {}, {}
  for n, name in ipairs(taken) do
    marks[2 * n - 1], marks[2 * n] = int(math.min(math.max(at, back + n), at + NOW)), name
    looked[2 * n - 1], looked[2 * n] = name, token
    answer[3 + n] = name
  end
  call('HDEL', LOOKS, '*')  -- so that the rest is not refused when the server is out of memory
  call('ZADD', QUEUES, unpack(marks))
  call('HSET', LOOKS, unpack(looked))
end
if ended and #taken < limit then
  local later = call('ZRANGEBYSCORE', QUEUES, '(' .. until_, '+inf', 'WITHSCORES', 'LIMIT', 0, 200)
  local names = {}
  for n = 1, #later, 2 do names[#names + 1] = later[n] end
  local found = matching(names)
  for n = 1, #names do
    if found[n] or n == 200 then  -- or nobody knows: it is looked again then
      answer[3] = int(later[2 * n] - at)
      break
    end
  end
end
return answer
