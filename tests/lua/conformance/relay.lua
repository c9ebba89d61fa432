--- Runs claims about an API server on whatever answers on standard input: for each line of JSON
--- written to standard output one line comes back (tests/e2e/kube/test_conformance.py).
---
---   luajit tests/lua/conformance/relay.lua --list   the claims' names, a line each
---   luajit tests/lua/conformance/relay.lua          {"do": "claim"} asks for the number of a claim
---                                                   to run; {"do": "verdict"} tells how it went
---
--- The other end sends HTTP by means of the test's own, so that no fault of konductor's can hide
--- what a server really says.

package.path = "tests/lua/?.lua;lua/?.lua;lua/?/init.lua;" .. package.path
local claims = require "conformance.apiserver"

if arg[1] == "--list" then
  for _, claim in ipairs(claims) do
    print(claim.name)
  end
  os.exit(0)
end

local json = require "dkjson"
local http = require "conformance.http"

local function ask(message)
  io.write(json.encode(message), "\n")
  io.flush()
  local line = assert(io.read "*l", "the other end has gone")
  local answer = assert(json.decode(line))
  if answer.failed then
    error("the relay failed: " .. answer.failed, 0)
  end
  return answer
end

local transport = {}

function transport.send(request)
  request["do"] = "send"
  return ask(request)
end

function transport.unanswered(request)
  request["do"] = "unanswered"
  return ask(request)
end

function transport.watch(request)
  request["do"] = "watch"
  local number = ask(request).watch
  return {
    close = function() ask { ["do"] = "close", watch = number } end,
    next = function(limit_ms)
      local answer = ask { ["do"] = "next", watch = number, limit_ms = limit_ms }
      return answer.event, answer.why
    end,
  }
end

function transport.namespace()
  return ask({ ["do"] = "namespace" }).name
end

function transport.terminate(name)
  ask { ["do"] = "terminate", name = name }
end

function transport.compact()
  ask { ["do"] = "compact" }
end

function transport.pause()
  ask { ["do"] = "pause" }
end

local api = http.api(transport)
while true do
  local number = ask({ ["do"] = "claim" }).number
  if not number then
    break
  end
  local ok, why = xpcall(function() claims[number].run(api) end, debug.traceback)
  ask { ["do"] = "verdict", ok = ok, why = not ok and tostring(why) or nil }
end
