--- The claims' calls as HTTP requests: paths, queries, and the api object of apiserver.lua over
--- anything that can send them.
---
---   transport.send{method=, path=, query=, body=}  {status=, body=, date=}
---   transport.watch{path=, query=}                 {next=, close=} as in apiserver.lua
---   transport.unanswered{method=, ...}             as send, while the server cannot reach its storage
---   transport.namespace(), terminate(name), compact(), pause()

local M = {}

local METHODS = { get = "GET", list = "GET", create = "POST", update = "PUT", update_status = "PUT", delete = "DELETE" }

local function path_of(request)
  local plural, group = request.resource:match "^([^.]+)%.(.+)$"
  local path = ("/apis/%s/v1/namespaces/%s/%s"):format(group, request.namespace, plural)
  if request.name then
    path = path .. "/" .. request.name
  end
  return request.verb == "update_status" and path .. "/status" or path
end

---@param transport table
---@return table api
function M.api(transport)
  local api = { namespace = transport.namespace, terminate = transport.terminate, compact = transport.compact }

  local function http_of(request)
    return {
      method = METHODS[request.verb], path = path_of(request), query = request.query, body = request.body,
    }
  end

  function api.call(request)
    return transport.send(http_of(request))
  end

  function api.unanswered(request)
    return transport.unanswered(http_of(request))
  end

  function api.watch(request)
    local query = { watch = true }
    for key, value in pairs(request.query) do
      query[key] = value
    end
    return transport.watch { path = path_of(request), query = query }
  end

  --- Asks until the Date of the answers has moved.
  function api.next_second(n)
    local request = { verb = "list", resource = "onces.konductor.io", namespace = "default", query = { limit = 1 } }
    local first = api.call(request).date
    repeat
      transport.pause()
    until api.call(request).date >= first + (n or 1)
  end

  return api
end

return M
