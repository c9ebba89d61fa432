--- What `create` of both kinds has in common.

local cas = require "konductor.cas"
local text = require "konductor.text"

local M = {}

-- Whether the object is what a request of ours has made whose answer was lost; a server may have added defaults.
local function is_ours(rec, spec)
  for key, value in pairs(spec) do
    if rec.spec[key] ~= value then
      return false
    end
  end
  return (rec.status.fence or 0) == 0
end

--- Makes the object; one that is there already is an error.
---@param command koncli.Command
---@param spec table
---@return integer exit_code
function M.run(command, spec)
  local world, name = command.world, command.options.name
  local title = ("%s %s"):format(command.kind, text.quote(name))
  local sent
  for try = 1, math.huge do
    local rec, word, sentence = world.create(command.kind, name, spec)
    if word == "exists" and sent then
      rec = cas.get(world, command.kind, name, command.deadline_ms)
      rec = rec and is_ours(rec, spec) and rec or nil
    end
    if rec then
      return command:answer_change(rec, title .. " created")
    elseif word == "exists" then
      return command:fail(word, ("%s exists already in namespace %s"):format(title, text.quote(command.namespace)))
    elseif not cas.PASSING[word] then
      return command:fail(word --[[@as string]], sentence)
    end
    sent = sent or word ~= "busy"
    if not cas.backoff(world, try, command.deadline_ms) then
      return command:fail("unknown", ("the store did not answer: %s"):format(sentence or word))
    end
  end
end

return M
