-- One wrk process: draws keys evenly from those it was given. Every request is built before the clock starts.
-- Arguments: target (flotilla|forward|etcd; forward asks whom it meets to lead the request on), operation (put|get), a file of keys (one a line), value bytes, output file.
local requests = {}
local count = 0
output = nil -- global: `done` asks the thread for it

local b64chars = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
local function base64(text)
  local parts = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    local chars = { 18, 12, 6, 0 }
    for j = 1, 4 do
      local k = math.floor(n / 2 ^ chars[j]) % 64 + 1
      chars[j] = b64chars:sub(k, k)
    end
    if not c then chars[4] = '=' end
    if not b then chars[3] = '=' end
    parts[#parts + 1] = table.concat(chars)
  end
  return table.concat(parts)
end

local function build(target, operation, key, value)
  if target == 'etcd' then
    local body = '{"key":"' .. base64(key) .. '"'
    if operation == 'put' then body = body .. ',"value":"' .. base64(value) .. '"' end
    local path = operation == 'put' and '/v3/kv/put' or '/v3/kv/range'
    return wrk.format('POST', path, { ['Content-Type'] = 'application/json' }, body .. '}')
  end
  local path = '/v1/kv/' .. key .. (target == 'forward' and '?route=forward' or '')
  if operation == 'put' then return wrk.format('PUT', path, {}, value) end
  return wrk.format('GET', path, {})
end

-- `done` runs in another Lua state than the load's: it knows the file only through the thread.
local loader
function setup(thread)
  loader = thread
end

function init(args)
  local target, operation, file, bytes = args[1], args[2], args[3], tonumber(args[4])
  output = args[5]
  math.randomseed(os.time() + tonumber(tostring({}):match('0x(%x+)'), 16) % 100000)
  local letters = {}
  for i = 1, bytes + 64 do letters[i] = string.char(97 + math.random(0, 25)) end
  local noise = table.concat(letters)
  for key in io.lines(file) do
    local from = count % 64 + 1
    count = count + 1
    requests[count] = build(target, operation, key, noise:sub(from, from + bytes - 1))
  end
end

function request()
  return requests[math.random(count)]
end

-- The whole histogram (µs, count), so that several processes' can be added up.
function done(summary, latency)
  local out = assert(io.open(loader:get('output'), 'w'))
  local errors = summary.errors
  out:write(string.format('{"requests":%d,"durationUs":%d,"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},"latency":[',
    summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
  for i = 1, #latency do
    local value, times = latency(i)
    out:write(string.format('%s[%d,%d]', i > 1 and ',' or '', value, times))
  end
  out:write(']}')
  out:close()
end
