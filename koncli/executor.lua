--- Whether the executor of a Once is known to be gone: its session has ended, so the claim
--- is nobody's though its time is not over.

local M = {}

--- How long the store is asked: one that knows says so at once.
local PEER_MS = 50

--- Marks the view of a claim whose executor is gone.
---@param world konductor.World
---@param view konductor.OnceView
function M.look(world, view)
  if not view.claimed or view.doubt or view.bound == "time" then
    return
  end
  local inbox = world.inbox()
  local watch = world.peer(inbox, view.session)
  local event = watch and inbox:wait(world.now() + PEER_MS)
  inbox:close()
  view.gone = event ~= nil and event.type == "gone"
end

return M
