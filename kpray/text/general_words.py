"""English words that say little about the subject of a text, such as "new" and "results".

They were chosen on the train and validation parts of Inspec and the train part of SemEval2010. There, a phrase that
starts with one of the modifiers is almost never a keyphrase, but the rest of the phrase often is ("new algorithm",
"several Monte Carlo methods"). A phrase that consists of these nouns is almost never a keyphrase ("results").
"""

from __future__ import annotations

#: Adjectives, participles and ordinals that may start a noun phrase but are not part of a term.
GENERAL_MODIFIERS = frozenset(
    """
    able acceptable accurate actual additional adequate advanced alternative appropriate associated available
    average bad basic best better big broad called careful central certain chief classic clear close common
    comparable competing complete complex comprehensive considerable considered consistent conventional
    convincing corresponding crucial current cutting-edge deep desirable desired detailed developed different
    difficult distinct due earlier early easy effective efficient enhanced enormous entire essential
    established excellent existing expected experimental extensive extra fair famous few fewer final fine
    first following former full fundamental further future general given good great greater growing half hard
    high-quality higher important impressive improved increased increasing individual inherent initial
    innovative interesting introduced key known large larger largest last late later latest latter least less
    likely limited little long-standing low-cost lower main major many maximum mere minimum minor modern
    modified more most much multiple necessary new newer next novel numerous obtained obvious old original
    other overall own particular past popular possible potential powerful practical precise preliminary
    presented previous primary principal prior promising proper proposed rapid real real-world realistic
    reasonable recent related relevant reliable remaining reported required respective resulting rich right
    rigorous robust same satisfactory second selected sensible separate several severe short significant
    similar simple simplified single slight small smaller so-called solid sophisticated special specific
    specified standard state-of-the-art strong studied subsequent substantial successful such sufficient
    suitable superior sure systematic third top total traditional true typical underlying unique used useful
    usual valuable various vast very vital well-known whole wide widespread worst
    """.split()
)

#: Nouns that name a part of the exposition, a measure of anything, or a thing in general.
GENERAL_NOUNS = frozenset(
    """
    ability account addition advance advances advantage advantages aim aims amount answer answers approach
    approaches area areas argument article aspect aspects assumption assumptions attempt attempts attention
    author authors background basis benefit benefits body case cases challenge challenges chance change
    changes characteristic characteristics choice choices circumstances claim class classes combination
    comparison component concept concepts conclusion conclusions condition conditions consequence
    consideration considerations context contrast contribution contributions course day days deal definition
    degree description detail details development developments difference differences difficulties difficulty
    discussion drawback drawbacks effect effectiveness effects effort efforts element elements end evidence
    example examples existence experience experiment experiments explanation extension extent fact factor
    factors family feature features field fields figure finding findings focus form forms framework function
    functionality functions fundamental future generation goal goals group groups growth hand idea ideas
    impact implementation implication implications importance improvement improvements increase influence
    instance instances interest introduction investigation issue issues item items kind kinds knowledge lack
    level levels limit limitation limitations list literature location lot majority manner means measure
    mechanism mechanisms method methodology methods minute model models motivation name nature need needs
    notion number numbers object objective objectives objects observation observations one order others
    outcome outcomes page pages pair pairs paper papers part parts people period perspective place point
    points possibility potential practice presence present presentation principle principles problem problems
    procedure procedures process processes product progress project properties property proposal purpose
    purposes quality question questions range rate reader readers reason reasons region relation remainder
    report requirement requirements research researcher researchers respect rest result results review role
    scale scenario scenarios scheme schemes scope section sections sense series set sets setting settings
    shortcoming show situation situations size solution solutions sort space stage stages standard start state
    states step steps strategies strategy strength structure structures studies study style subject subset
    success sum summary support system systems table task tasks technique techniques term terms test theme
    thing things thought time times today tool tools topic topics total trend trends type types use user users
    value values variety version versions view viewpoint views way ways week weeks work works world year years
    """.split()
)
