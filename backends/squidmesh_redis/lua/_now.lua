-- The plane's clock (protocol 3.6): the server's own, in microseconds since 1970. A double counts them exactly.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
