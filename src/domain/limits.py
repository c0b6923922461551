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

# --- reading -----------------------------------------------------------------------------------------------------------

ENTRIES_PAGE_DEFAULT = 10
ENTRIES_PAGE_MAX = 100
REWARDS_PAGE_MAX = 100

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

assert AMOUNT_MINOR_MAX < POINTS_MAX
assert ADJUSTMENT_POINTS_MAX < POINTS_MAX
assert ENTRIES_PAGE_DEFAULT <= ENTRIES_PAGE_MAX
# A caller's own key: its subject (255 ASCII characters by OpenID Connect, three bytes each when escaped) and the key.
assert 3 * 255 + 4 * KEY_LENGTH_MAX + 16 < 2_048
assert 4 * RETURN_ID_LENGTH_MAX + 2 < 1_024
assert KEY_REUSE_MIN < CLAIM_RETENTION
assert HOLD_TTL_MIN <= HOLD_TTL_DEFAULT <= HOLD_TTL_MAX
