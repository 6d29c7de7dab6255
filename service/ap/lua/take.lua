-- Takes the oldest dirty keys of a bucket: their registers, as JSON: name, stamp, origin, value of each. A batch, as old as the
-- oldest of them, takes the place of their marks: whoever writes one of them again marks it again. Takes the mark of a batch that
-- is done away.
-- KEYS: the bucket's dirty set, the set of batches. ARGV: how many keys, after how many bytes of values to stop, the prefix of
-- registers, the name of the batch, the mark of the one that is done or an empty text. Gives the mark and the JSON, both empty
-- where nothing is dirty.
local call = redis.call
if ARGV[5] ~= '' then
  call('ZREM', KEYS[2], ARGV[5])
end
local out, mark, n, bytes, visited = {}, { ARGV[4] }, 0, 0, 0
for _, key in ipairs(call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  visited = visited + 1
  local register = ARGV[3] .. key
  local r = redis.pcall('HMGET', register, 't', 'o', 'v')
  if r.err and not r.err:find('^WRONGTYPE') then
    return r
  end
  if r[1] then -- else somebody deleted the register by hand, or put something else in its place
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = register, r[1], r[2], r[3]
    mark[#mark + 1] = key
    n, bytes = n + 4, bytes + #r[3]
    if bytes > tonumber(ARGV[2]) then
      break
    end
  end
end
if visited == 0 then
  return { '', '' }
end
-- Nothing has been written so far, so that whatever failed has left the marks. Where memory is full, what is taken away first
-- lets the rest pass.
local oldest = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
call('ZREMRANGEBYRANK', KEYS[1], 0, visited - 1)
if n == 0 then
  return { '', '' }
end
mark = table.concat(mark, '\n')
call('ZADD', KEYS[2], oldest, mark)
return { mark, cjson.encode(out) }
