-- Writes the reconciler's mark, if it is what the caller believes it to be, in the life that the caller believes in.
-- KEYS: the queue's. ARGV: incarnation, then the mark expected, or *, and the new one, in three words each: incarnation,
--   token, position. Returns 1, or 0 where nothing was changed.
local function mark()
  local first = none_or_word()
  if first then return first .. ' ' .. word() .. ' ' .. word() end
end
local alive, expected, new = word(), mark(), mark()
complete()

local found = call('HGET', LIFE, 'cursor') or nil
if call('HGET', LIFE, 'incarnation') ~= alive then return 0 end
if found ~= new then
  if found ~= expected then return 0 end
  call('HSET', LIFE, 'cursor', new)
end
return 1
