-- Writes the marker that says whose memory this is, if it is what the caller believes it to be.
-- KEYS: the marker (it is no queue's). ARGV: the marker expected, or *; the new one. Returns 1, or 0 where nothing was
--   changed.
local expected, new = none_or_word(), word()
complete(1)

local found = call('GET', KEYS[1]) or nil
if found ~= new then
  if found ~= expected then return 0 end
  call('SET', KEYS[1], new)
end
return 1
