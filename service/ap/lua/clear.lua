-- Clears the marks of registers that the peer has, unless they were written again since they were taken: then the
-- oldest write that the peer lacks is younger than the taking.
-- KEYS: the bucket's dirty set, then registers. ARGV: this node's clock when they were taken; then key, stamp, origin
-- for each.
local taken = tonumber(ARGV[1])
for i = 2, #KEYS do
  local key, t, o = ARGV[3 * i - 4], ARGV[3 * i - 3], ARGV[3 * i - 2]
  local stored = redis.call('HMGET', KEYS[i], 't', 'o')
  if stored[1] == t and stored[2] == o then
    redis.call('ZREM', KEYS[1], key)
  else
    local score = redis.call('ZSCORE', KEYS[1], key)
    if score and tonumber(score) < taken then
      redis.call('ZADD', KEYS[1], ARGV[1], key)
    end
  end
end
return 1
