--- What `once done` and `once fail` have in common: they end a claim that is one's own.

local grant = require "koncli.grant"
local once = require "konductor.once"
local options_of = require "koncli.options"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {}

function M.describe(parser)
  options_of.holder(parser)
  options_of.version(parser, "Only if the claim is for this version.")
  options_of.token(parser)
end

-- Why this claim is not to be ended by us: word and sentence, or nothing.
local function refusal(command, rec, view)
  local version = command.options.version
  if view.executed then
    return "claimed", ("it has been executed by %s, fence %.0f"):format(view.executor, view.fence)
  elseif not view.claimed or not once.held(rec, grant.me(command, rec)) then
    return grant.lost(command, view.executor, view, not view.claimed)
  elseif version and version ~= view.version then
    return "claimed", ("the claim is for version %s, not %s"):format(text.quote(view.version), text.quote(version))
  end
end

--- Ends the claim.
---@param command koncli.Command
---@param write fun(rec: konductor.Record, me: table): table?, string?, string?
---@param is_done? fun(view: konductor.OnceView): boolean  whether it stands already as it is to be
---@return konductor.Record? record
---@return string? word
---@return string? sentence
function M.run(command, write, is_done)
  local already
  local rec, word, sentence = command:change(function(rec)
    local view, code, why = record.once(rec)
    if not view then
      return nil, code, why
    elseif is_done and is_done(view) then
      already = rec
      return nil, "exists"
    end
    code, why = refusal(command, rec, view)
    if code then
      return nil, code, why
    end
    local status
    status, code, why = write(rec, grant.me(command, rec))
    return status, not status and code or nil, why
  end)
  if already then
    return already
  end
  return rec, word, sentence
end

return M
