--- The model of an API server under the claims that kube-apiserver is held to as well
--- (tests/e2e/kube/test_conformance.py).

package.path = "tests/lua/?.lua;" .. package.path
local apiserver = require "konductor.sim.apiserver"
local claims = require "conformance.apiserver"
local copy = require("konductor.sim.store").copy
local random = require "konductor.sim.random"

local TICK_MS = 100

-- A model with a clock that moves when somebody waits. What goes in and out is copied, as by JSON.
---@param landing "before"|"after"  whether an unanswered write lands before the next call or after it
local function memory(landing)
  local now_ms, chance, namespaces = 0, random.new(1), 0
  local server = apiserver.new { now_ms = function() return now_ms end, uid = function() return chance:hex(4) end }
  local api, land = {}, nil

  local function call(request, fault)
    request.body = request.body and copy(request.body)
    local answer = server:call(request, fault)
    answer.body = copy(answer.body)
    return answer
  end

  function api.call(request)
    local answer = call(request)
    if land then
      land()
      land = nil
    end
    return answer
  end

  function api.unanswered(request)
    local answer = call(request, { status = 504, apply = "later" })
    if landing == "before" then
      answer.land()
    else
      land = answer.land
    end
    return answer
  end

  function api.watch(request)
    request.verb = "watch"
    local answer = server:call(request)
    if answer.status ~= 200 then
      return nil, answer
    end
    local watch = answer.watch
    return {
      close = function() watch:close() end,
      next = function(limit_ms)
        local until_ms = now_ms + limit_ms
        while true do
          local event = watch:take()
          if event then
            return copy(event)
          elseif watch.ended then
            return nil, "ended"
          elseif now_ms >= until_ms then
            return nil, "timeout"
          end
          now_ms = now_ms + TICK_MS
        end
      end,
    }
  end

  function api.namespace()
    namespaces = namespaces + 1
    server:namespace("n" .. namespaces)
    return "n" .. namespaces
  end

  function api.terminate(namespace)
    server:namespace(namespace, "Terminating")
  end

  function api.next_second(n)
    now_ms = now_ms + (n or 1) * 1000
  end

  function api.compact()
    server:compact()
  end

  return api
end

for _, landing in ipairs { "before", "after" } do
  describe("the model of an API server, where unanswered writes land " .. landing .. " the next call,", function()
    for _, claim in ipairs(claims) do
      it(claim.name, function() claim.run(memory(landing)) end)
    end
  end)
end
