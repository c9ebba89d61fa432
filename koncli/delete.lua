--- What `delete` of both kinds has in common.

local options_of = require "koncli.options"
local text = require "konductor.text"

local M = {}

M.formats = { "text", "name" }

function M.describe(parser)
  options_of.force(parser, "Also while somebody has it, or when it is damaged.")
end

--- Deletes the object unless somebody has it.
---@param command koncli.Command
---@param view fun(rec: konductor.Record): table?, string?, string?  the checked view
---@param holder fun(view: table): string?  who has it
---@param had string  "claimed by", "held by"
---@return integer exit_code
function M.run(command, view, holder, had)
  local loser
  local rec, word, sentence = command:delete(function(rec)
    local seen, code, why = view(rec)
    local who = seen and holder(seen)
    if command.options.force then
      loser = who
      return true
    elseif not seen then
      return nil, code, why .. "; --force deletes it all the same"
    elseif who then
      return nil, "claimed", ("it is %s %s, fence %.0f; --force deletes it all the same"):format(had, text.quote(who),
        seen.fence)
    end
    return true
  end)
  if not rec then
    return command:fail(word --[[@as string]], sentence)
  end
  local done = command:is_staying(rec) and "is to be deleted: it stays until its finalizers are removed" or "deleted"
  return command:answer_change(rec, ("%s %s %s%s"):format(command.kind, text.quote(command.options.name), done,
    loser and "; taken from " .. text.quote(loser) or ""))
end

return M
