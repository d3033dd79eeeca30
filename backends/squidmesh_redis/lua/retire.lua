-- Nobody uses this lane any more: all of it expires, unless it does so before. Or somebody uses it again: then it begins
-- anew, where it was about to expire.
-- KEYS: the queue's. ARGV: after so many microseconds; 0 to begin anew. Returns nothing.
local after = number()
complete()

if after == 0 then
  if call('PTTL', LIFE) >= 0 then call('UNLINK', unpack(KEYS)) end
  return
end
for _, key in ipairs(KEYS) do
  if call('PTTL', key) == -1 then call('PEXPIRE', key, int(after / 1000)) end
end
