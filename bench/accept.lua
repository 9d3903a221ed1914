-- One accepted message a request, each to another recipient. TOKEN and CHANNEL come from the environment.
local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. os.getenv("TOKEN")}
local channel = os.getenv("CHANNEL")
local n = 0

function setup(thread)
  thread:set("base", math.random(0, 89) * 100000)
end

function request()
  n = n + 1
  local body = string.format('{"channel_id":"%s","to":"+2519%08d","text":"Hello message number %d to you"}',
                             channel, (base + n) % 100000000, n)
  return wrk.format("POST", "/v1/messages", headers, body)
end

function done(summary, latency)
  io.write(string.format('{"requests":%d,"seconds":%.6f,"errors":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
