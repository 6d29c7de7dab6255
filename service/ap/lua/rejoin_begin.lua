-- Begins a reconciliation of this node, unless one is under way. KEYS: the node's meta. ARGV: its token, keys to
-- visit, after how many microseconds without progress one counts as abandoned.
local time = redis.call('TIME')
local here = time[1] * 1000000 + time[2]
local meta = redis.call('HMGET', KEYS[1], 'rejoin', 'beat')
if meta[1] and math.abs(here - tonumber(meta[2])) < tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], 'rejoin', ARGV[1], 'beat', string.format('%.0f', here), 'done', 0, 'total', ARGV[2])
return 1
