-- Marks each key of a batch in the place of the batch, unless that was carried meanwhile. A mark that is older stays as it is.
-- KEYS: the set of batches, and for each key its bucket's dirty set. ARGV: the mark of the batch, its time, the keys.
local call = redis.call
-- Where memory is full, what is taken away first lets the rest pass.
if call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
for i = 2, #KEYS do
  local key = ARGV[i + 1]
  local at = call('ZSCORE', KEYS[i], key)
  if not at or tonumber(at) > tonumber(ARGV[2]) then
    call('ZADD', KEYS[i], ARGV[2], key)
  end
end
return 1
