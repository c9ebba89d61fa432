--- `koncli lease release NAME`: gives one's own hold up, or by force that of another.

local grant = require "koncli.grant"
local lease = require "konductor.lease"
local options_of = require "koncli.options"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Gives a Lease up that one has acquired; the next in the queue gets it at once.",
  names = true,
  environment = { token = true },
  examples = [[
  koncli lease release db-migration --holder $HOSTNAME
  koncli lease release db-migration --force              from whoever holds it; what runs under it notices
                                                         with its next renewal and stops]],
}

function M.describe(parser)
  options_of.holder(parser)
  options_of.token(parser)
  options_of.force(parser, "Takes it from whoever holds it, and says who that was.")
end

-- Only the one that was looked at, if it is told by a token.
local function revoke(command, view, rec)
  local token = command.options.token_given and command.options.token
  if token and token ~= view.fence then
    return nil, "claimed", ("it is held under the token %.0f, not %.0f"):format(view.fence, token)
  end
  local status, code, why = lease.revoke(rec, { op = command.world.nonce() })
  return status, not status and code or nil, why
end

local function release(command, view, rec)
  local me = grant.me(command, rec)
  if not lease.held(rec, me) then
    local word, sentence = grant.lost(command, view.holder, view, view.holder == "")
    local can_force = view.holder ~= "" and not view.foreign and not command.options.token
    return nil, word, sentence .. (can_force and "; --force takes it from its holder" or "")
  end
  return lease.release(rec, me)
end

function M.run(command, options)
  local loser, had
  local rec, word, sentence = command:change(function(rec)
    local view, code, why = record.lease(rec)
    if not view then
      return nil, code, why
    end
    loser, had = ("%s, fence %.0f"):format(text.quote(view.holder), view.fence), view
    return (options.force and revoke or release)(command, view, rec)
  end)
  if not rec then
    return command:fail(word --[[@as string]], sentence)
  end
  local to = rec.status.holder
  local code = command:answer_change(rec, ("Lease %s %s%s"):format(text.quote(options.name),
    options.force and "taken from " .. loser or "released by " .. command.world.holder,
    type(to) == "string" and to ~= "" and ", handed over to " .. text.quote(to) or ""))
  if options.force then
    command:tell("revoke", rec, { from = had.holder, fence = had.fence })
  end
  return code
end

return M
