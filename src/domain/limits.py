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

# Currencies that a refusal names: a sentence, not a list.
CURRENCIES_NAMED_MAX = 20

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
# A tag is a word or three. Twenty of them are some 660 bytes of the profile, which every home screen reads and a campaign reads
# of everybody; a member with more of them is a member of lists, and lists are campaigns' own.
TAG_LENGTH_MAX = 32
TAGS_MAX = 20
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
# Records of a page of a log, which is one strong query. Where an answer can be done without, so many pages are read at most;
# whoever has to know whether a claimed key was booked reads on until there is no time.
RESUME_PAGE = 100
RESUME_PAGES_MAX = 100
# A record that is missing between two others is read again so often: a strong read sees it the next time, or it is lost.
GAP_READS_MAX = 10

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
# Why a message failed, in the queue of failures: a sentence or two. The log has the rest, and a message has its own limit.
FAILURE_REASON_LENGTH_MAX = 512
# Accounts are named by ULIDs of 26 characters.
ACCOUNT_LENGTH_MAX = 64

# --- queues of failures, as `regulars dlq` sees them -------------------------------------------------------------------

# Failures looked through for the ones that are named: a tenth of what a queue lets be out of sight at once (AWS: 120,000), and
# some minutes. Who has more of them does not name single ones.
FAILURES_LOOKED_AT_MAX = 10_000
# Failures among which `list` looks for the oldest: more would keep whoever looks waiting.
FAILURES_GLANCED_AT_MAX = 100
# Messages a second of a move that SQS makes by itself (AWS limit).
FAILURES_MOVED_A_SECOND_MAX = 500

# --- submissions -------------------------------------------------------------------------------------------------------

# Purchases of one submission: as long as a list in an input may be at all (schema/limits.py).
SUBMISSION_PURCHASES_MAX = 500
# What a submission keeps of its purchases is one item, and an item holds at most 400 KB (AWS limit): their numbers, and why some
# were refused. Five hundred numbers are some 20 KB.
SUBMISSION_BYTES_MAX = 300_000
# Bytes of a purchase's fingerprint that a submission keeps: enough to tell two inputs under one key apart.
SUBMISSION_FINGERPRINT_BYTES = 8
# What is queued longer than this is refused. A queue keeps a message for 7 days and its queue of failures for 14 more at most, so
# only what somebody has moved back gets so old; and the submission that tells of it is not forgotten yet.
QUEUED_AGE_MAX = timedelta(days=25)
SUBMISSION_RETENTION = CLAIM_RETENTION
SUBMISSION_PAGE_MAX = 100
# What the messages of one call to a queue may come to together, in bytes (AWS had this limit for years and has raised it since).
MESSAGE_CALL_BYTES_MAX = 256 * 1024
# Calls to a queue that are on their way at once while somebody waits for an answer: fifty of them take a second one by one.
MESSAGE_CALLS_AT_ONCE_MAX = 8
# Purchases that are booked together: as many as a batch of the queue has. A record of one write unit holds some five.
GROUP_OPERATIONS_MAX = 50

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

# --- campaigns ---------------------------------------------------------------------------------------------------------

# Members of one chunk: some seconds of work that are looked at again when its worker dies, and one message for all of them.
CHUNK_MEMBERS_MAX = 500
# Chunks of one shard: many more than there are people.
CHUNKS_MAX = 10**8
# Labels that one condition of an audience names.
AUDIENCE_LABELS_MAX = 50
# A chunk's decision names a member's segment with one letter.
CAMPAIGN_SEGMENTS_MAX = 20
# Points that live longer than ten years are meant to live for ever.
CAMPAIGN_VALID_DAYS_MAX = 3_660
# Whoever holds out nearly everybody does not want a campaign.
HOLD_OUT_PERCENT_MAX = 90
# It stands in the notice of every member, which then is still one write unit.
CAMPAIGN_TEXT_LENGTH_MAX = 400
# What was done with a campaign: who pauses and resumes more often than this has other troubles. The oldest steps are let go.
CAMPAIGN_STEPS_MAX = 60
# What a preview looked at can be looked up for a while; what it found stays with the campaign.
PREVIEW_RETENTION = timedelta(days=35)
# Campaigns that wait for their time, run, or are reverted, at once: somebody looks at all of them every minute.
CAMPAIGNS_AT_WORK_MAX = 50
# How far ahead a campaign is scheduled.
CAMPAIGN_AHEAD_MAX = timedelta(days=400)
CAMPAIGNS_PAGE_MAX = 50
# Attempts to write a campaign, a budget or a shard's progress that others write as well: as with appends, one of them wins each
# time.
CAMPAIGN_ATTEMPTS_MAX = 100
# A run that has not moved for this long is handed out again: at once where nothing is on its way, because a queue counts roughly
# for a minute or so; and after the longer time in any case, because a message comes again after twelve minutes.
CAMPAIGN_SILENCE_MIN = timedelta(minutes=1)
CAMPAIGN_SILENCE_MAX = timedelta(minutes=20)
# Pages of a log that are read back to what a campaign has given its account: 50,000 records, some ten seconds. One that is longer
# is a test's, or a card that everybody uses; it must not hold up the others of its chunk.
SYSTEM_KEY_PAGES_MAX = 500
# Members between two looks at whether a campaign was stopped: a second or so.
CHUNK_LOOK_MEMBERS = 50
# A worker lives two minutes (template.yaml) and no longer: when a campaign was cancelled, the last day of its points ended, or
# somebody was given up so long ago, nobody who began before can give anything any more.
CAMPAIGN_WORKER_MAX = timedelta(minutes=3)

# --- lists of members -------------------------------------------------------------------------------------------------

# Lines of an uploaded file. A program's largest audiences come as conditions; so many lines are some twenty minutes of ten
# workers (docs/lists.md), and their accounts are put together in the memory of one.
LIST_LINES_MAX = 1_000_000
# What a file may have: more than a hundred bytes a line. It is read whole once, to be cut.
LIST_BYTES_MAX = 128 * 1024**2
# The longest line, without its end; beyond this somebody has uploaded something else.
LIST_LINE_BYTES_MAX = 64 * 1024
# Lines of one part: some twenty seconds of look-ups, which are made again when a worker dies, and 36 KB of accounts.
LIST_PART_LINES = 2_000
LIST_PARTS_MAX = LIST_LINES_MAX // LIST_PART_LINES
# A part is not begun with less time than this: a third of what a worker has (template.yaml).
LIST_PART_TIME = timedelta(seconds=40)
# Look-ups of one part that are on their way at once: each spends most of its time waiting.
LIST_LOOKUPS_AT_ONCE_MAX = 8
# Accounts of one item of a list: some 90 KB, of 400 that it may have (AWS limit).
LIST_PAGE_ACCOUNTS = 5_000
# Lines of each flaw that are told: whoever has more of them mends the file, not the lines.
LIST_EXAMPLES_MAX = 1_000
# Of them, how many one answer shows.
LIST_EXAMPLES_PAGE = 100
# How long a file can be sent to an address that was given out; a new one is had by asking.
LIST_UPLOAD_TTL = timedelta(hours=1)
# What was found in the parts is kept for longer than the file is (template.yaml, the bucket): while it can be read again, nothing
# of it is forgotten.
LIST_UPLOAD_RETENTION = timedelta(days=7)
LIST_PART_RETENTION = timedelta(days=35)
LISTS_PAGE_MAX = 50

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

# --- made-up members ---------------------------------------------------------------------------------------------------

# Members of one `regulars seed`: a million take an hour or more, and ten million are a matter of DynamoDB's own import.
SEED_MEMBERS_MAX = 1_000_000
# Purchases of one of them: each is two writes, and a tier and a balance need no more.
SEED_PURCHASES_MAX = 20
# Days over which they have joined: notices of all of that time are still kept, and every purchase is recent enough.
SEED_DAYS_MAX = 330
# Writers at once: as many as the command has connections.
SEED_WRITERS_MAX = 16
# Attempts at one member when the store is busy.
SEED_ATTEMPTS_MAX = 8

assert AMOUNT_MINOR_MAX < POINTS_MAX
assert timedelta(days=SEED_DAYS_MAX) < min(NOTICE_RETENTION, OCCURRED_AGE_MAX)
assert ADJUSTMENT_POINTS_MAX < POINTS_MAX
assert ENTRIES_PAGE_DEFAULT <= ENTRIES_PAGE_MAX
# A caller's own key: its subject (255 ASCII characters by OpenID Connect, three bytes each when escaped) and the key.
assert 3 * 255 + 4 * KEY_LENGTH_MAX + 16 < 2_048
assert 4 * RETURN_ID_LENGTH_MAX + 2 < 1_024
assert KEY_REUSE_MIN < CLAIM_RETENTION
assert QUEUED_AGE_MAX < KEY_REUSE_MIN < SUBMISSION_RETENTION
assert HOLD_TTL_MIN <= HOLD_TTL_DEFAULT <= HOLD_TTL_MAX
assert LIST_LINES_MAX % LIST_PART_LINES == 0
assert LIST_UPLOAD_RETENTION < LIST_PART_RETENTION
