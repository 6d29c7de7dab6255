-- Clears the marks of registers that the peer has, unless they were written again since they were taken: then the
-- oldest write that the peer lacks is younger than the taking.
-- KEYS: dirty sets of buckets. ARGV, for each: the prefix of its registers, this node's clock when they were taken, and
-- how many; then of each of these its key, stamp, and origin.
local call = redis.call
local at = 1
for _, dirty in ipairs(KEYS) do
  local prefix, taken, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local carried = {}
  at = at + 3
  for _ = 1, count do
    local key = ARGV[at]
    local register = prefix .. key
    if call('HGET', register, 't') == ARGV[at + 1] and call('HGET', register, 'o') == ARGV[at + 2] then
      carried[#carried + 1] = key
    else
      local score = call('ZSCORE', dirty, key)
      if score and tonumber(score) < tonumber(taken) then
        call('ZADD', dirty, taken, key)
      end
    end
    at = at + 3
  end
  if #carried > 0 then
    call('ZREM', dirty, unpack(carried))
  end
end
return 1
