"""Every bound of the program in one place, each with its reason, asserted against each other at the end."""

from datetime import timedelta

# --- purchases ---------------------------------------------------------------------------------------------------------

# The largest real basket measured has 161 lines; 200 of them compress to well under 4 KB in the claim.
PURCHASE_LINES_MAX = 200
# Fuel and weighed goods are counted in millilitres and grams: real lines reach 89,638.
LINE_QUANTITY_MAX = 1_000_000
# Minor units. Ten billion whole units: beyond any till, and far inside exact JSON integers.
AMOUNT_MINOR_MAX = 10**12
# A till may have been offline for a stock year; later than that it is a mistake in the date.
OCCURRED_AGE_MAX = timedelta(days=400)
# Clocks of tills run ahead a little; five minutes is the tolerance most token issuers use as well.
OCCURRED_AHEAD_MAX = timedelta(minutes=5)

# --- points ------------------------------------------------------------------------------------------------------------

# One correction by hand. Larger ones are typing errors, or several corrections.
ADJUSTMENT_POINTS_MAX = 10**9
# Clients read points as JSON numbers: 2^53 - 1 is the largest integer that all of them read exactly.
POINTS_MAX = 2**53 - 1
# Above this the two closest neighbours merge into the later date, which keeps an entry within one write unit.
BUCKETS_MAX = 60
# Open holds of one account: a till each, and a few that nobody ended. Each is some 30 bytes of every entry.
HOLDS_MAX = 8
# A hold outlives a basket being packed or a table being served; a week is the longest that card schemes hold an amount.
HOLD_TTL_MIN = timedelta(seconds=1)
HOLD_TTL_MAX = timedelta(days=7)
HOLD_TTL_DEFAULT = timedelta(minutes=15)
# Returns of one purchase that wait for it: they are booked in its own record.
RETURNS_PARKED_MAX = 10
# Returns of one purchase: each is read by the next one.
RETURNS_MAX = 200

# Periods in which something counts towards a tier. The months of a rolling year decide until the grace after it is over: twelve,
# and seven that a grace touches; and the one into which a till's clock may run ahead.
QUALIFYING_PERIODS_MAX = 20
# The longest time a tier lasts beyond its period: half a year, or it would outlast the next period's decision by too much.
TIER_GRACE_DAYS_MAX = 180
# A tier that staff give for longer than this is meant for ever.
TIER_DAYS_AHEAD_MAX = 36_525
# Steps of a ladder of tiers: no program of the field has more than ten.
TIERS_MAX = 10

# --- texts (characters) ------------------------------------------------------------------------------------------------

# Keys are part of a DynamoDB key (2,048 bytes at most); four bytes a character and the prefixes fit.
KEY_LENGTH_MAX = 256
SOURCE_LENGTH_MAX = 64
NAME_LENGTH_MAX = 200
EXTERNAL_ID_LENGTH_MAX = 128
# RFC 5321: a path is at most 256 octets, brackets included.
EMAIL_LENGTH_MAX = 254
# ITU-T E.164: at most 15 digits.
PHONE_DIGITS_MAX = 15
PHONE_DIGITS_MIN = 7
LABEL_LENGTH_MAX = 64  # location, channel, SKU, category: they are stored with every entry or basket line
REASON_LENGTH_MAX = 64
NOTE_LENGTH_MAX = 1_000
# Bytes of a note's salt, and of the hash that stands in its entry: 128 bits are neither guessed nor met twice.
NOTE_SALT_BYTES = 16
NOTE_DIGEST_BYTES = 16
# A return's id is a sort key together with its prefix: 1,024 bytes at most (AWS limit), four bytes a character.
RETURN_ID_LENGTH_MAX = 128

# --- the program ------------------------------------------------------------------------------------------------------

# Locations, and rewards, of one program. A thousand rewards with a sentence each are about 150 KB.
PROGRAM_LIST_MAX = 1_000
# Older versions that an execution environment keeps, because somebody returned what was bought under them.
PROGRAMS_KEPT_MAX = 20
# A program is one item, and an item holds at most 400 KB (AWS limit), names and keys included.
PROGRAM_BYTES_MAX = 380_000

# Moments of one program. One operation may bring all of them, and each is an entry of its record: of fifty that is some 18 KB, of
# a thousand nearly all that an item can hold.
MOMENTS_MAX = 50
# Dates of a year on which points expire.
EXPIRY_DATES_MAX = 12
# Reminders of one expiry day: more would be noise.
REMINDER_STAGES_MAX = 6
# A few sentences on a phone's screen.
NOTICE_TEXT_LENGTH_MAX = 1_000

# --- reading -----------------------------------------------------------------------------------------------------------

ENTRIES_PAGE_DEFAULT = 10
ENTRIES_PAGE_MAX = 100
REWARDS_PAGE_MAX = 100

# --- notices -----------------------------------------------------------------------------------------------------------

# What a member was told can be read again for a year.
NOTICE_RETENTION = timedelta(days=365)
# Notices marked as read in one call, each with a read and a write of its own; and how many are looked at to count the unread.
NOTICES_READ_MAX = 50
NOTICES_COUNTED_MAX = 100
# What a notice is about, within its key: an expiry, or an entry by its sequence and index, or a moment's id.
NOTICE_ABOUT_LENGTH_MAX = 96
# Records read back for the summary of a month, in pages of `RESUME_PAGE`: nobody shops a thousand times a month, and whoever's
# account moved more often is a test, and told nothing.
SUMMARY_PAGES_MAX = 20
# How far ahead a monthly look at everybody notes what will be due, so that rules published meanwhile reach old members: until the
# next look, and some days more.
LOOK_AHEAD_DAYS = 40
# Nobody older is known to be alive.
BIRTH_AGE_YEARS_MAX = 125

# --- committing --------------------------------------------------------------------------------------------------------

# An attempt is lost only when another writer's append won, so with n writers on one account n attempts are enough. What ends
# the attempts of a hot account in practice is the request's deadline (`Store.pause`).
COMMIT_ATTEMPTS_MAX = 500
# Entries read back to find a key after the sequence its claim has seen; each page is one strong query.
RESUME_PAGE = 100
RESUME_PAGES_MAX = 100

# Accounts that live on in one, each merged into it or into another of them: so no chain of merges is longer. People have a
# card or two more than they remember; each is 27 bytes of every later entry.
MERGES_FOLLOWED_MAX = 16

# The contract's promise: so long a key is remembered, whatever it is of. Purchases and their returns are for ever.
KEY_REUSE_MIN = timedelta(days=30)
# Claims of everything else may be forgotten after this.
CLAIM_RETENTION = timedelta(days=35)
# A look-up that was given up may be forgotten; until then it can be taken by somebody else all the same.
LOOKUP_RETENTION = timedelta(days=1)
# A due row outlives its day long enough for whoever comes late to read it.
DUE_RETENTION = timedelta(days=60)

# --- scheduled jobs ----------------------------------------------------------------------------------------------------

# Accounts of one message to the visitors: some 3 KB, and some seconds of work that are done again when one of them fails.
TURN_ACCOUNTS_MAX = 100
# Messages of one call to a queue (AWS limit), and calls for one message before whoever sends it gives up and begins anew.
MESSAGES_A_CALL_MAX = 10
MESSAGE_CALLS_MAX = 5
# The longest that a queue holds a message back (AWS limit): so often a turn that came in quiet hours is looked at.
MESSAGE_DELAY_MAX = timedelta(minutes=15)
# How often a message is delivered before it goes to the queue of failures; template.yaml says the same of each queue.
DELIVERIES_MAX = 5
# Accounts are named by ULIDs of 26 characters.
ACCOUNT_LENGTH_MAX = 64

# --- the sandbox's clock -----------------------------------------------------------------------------------------------

# One turn of the clock: ten years of days take an hour or two. And all of them together stay within what a date can be.
CLOCK_ADVANCE_MAX = timedelta(days=3_660)
CLOCK_YEAR_MAX = 2_999
# A duration such as P1Y2M10DT2H30M; a longer text is none.
DURATION_LENGTH_MAX = 64
# A job writes how far it is once a second, and a run of it is killed after five minutes: one that has not for this long is not
# running, and may be started again or replaced.
JOB_SILENCE_MAX = timedelta(minutes=6)
JOB_PROGRESS_MIN = timedelta(seconds=1)
# Attempts to set a clock that somebody else is setting: one job at a time turns it, and few of its runs overlap.
CLOCK_ATTEMPTS_MAX = 5
# Accounts in a row that a job of the clock cannot visit before it is the store's fault and not theirs.
CLOCK_FAILURES_MAX = 3

# --- announcing --------------------------------------------------------------------------------------------------------

# Events of one PutEvents call, and what they may come to together in bytes (AWS limits).
EVENTS_A_CALL_MAX = 10
EVENT_CALL_BYTES_MAX = 256 * 1024
# Calls that are on their way at once: a call takes some 30 ms, and a shard of the stream brings up to 1,000 records a second.
EVENT_CALLS_AT_ONCE_MAX = 8
# Rounds in which nothing at all got through: with the pauses between them, longer than any throttle of a healthy bus.
EVENT_ROUNDS_IN_VAIN_MAX = 20
# Accounts whose events are published again side by side: with a page of records each, some megabytes.
REPUBLISH_ACCOUNTS_MAX = 50
# Shards of a stack (template.yaml says the same of its parameter).
SHARDS_MAX = 1_024

assert AMOUNT_MINOR_MAX < POINTS_MAX
assert ADJUSTMENT_POINTS_MAX < POINTS_MAX
assert ENTRIES_PAGE_DEFAULT <= ENTRIES_PAGE_MAX
# A caller's own key: its subject (255 ASCII characters by OpenID Connect, three bytes each when escaped) and the key.
assert 3 * 255 + 4 * KEY_LENGTH_MAX + 16 < 2_048
assert 4 * RETURN_ID_LENGTH_MAX + 2 < 1_024
assert KEY_REUSE_MIN < CLAIM_RETENTION
assert HOLD_TTL_MIN <= HOLD_TTL_DEFAULT <= HOLD_TTL_MAX
