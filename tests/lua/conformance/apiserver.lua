--- How an API server answers: claims about it, each with a function that proves it. The model
--- (lua/konductor/sim/apiserver.lua) and kube-apiserver run the same list, so what policies meet
--- in the simulated world is what they meet outside.
---
---   api.call(request)     an answer {status, body, date}; requests are those of the model
---   api.watch(request)    {next = function(limit_ms) -> event | nil,"timeout" | nil,"ended", close = ...}
---   api.namespace()       a namespace that no claim has used
---   api.terminate(name)   a namespace begins to be deleted
---   api.next_second(n)    returns when the server's clock shows n seconds more (default 1)
---   api.unanswered(request)  a call that the server answers with 504; it may be applied then, or later
---   api.compact()         the server forgets all versions but the last ones

local M = {}

for _, part in ipairs { "writes", "fields", "deletes", "reads", "watches" } do
  for _, claim in ipairs(require("conformance." .. part)) do
    M[#M + 1] = claim
  end
end

return M
