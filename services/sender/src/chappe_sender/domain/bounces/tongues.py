"""The rules' words in other languages: French, German, Spanish, Italian, Portuguese, Dutch, Polish,
the Nordic ones, Russian, Chinese, Japanese, Korean, Turkish. Notation as in ``rules``.
"""

from typing import Final

SENDER_REFUSED: Final = (
    r"(expediteur|adresse d'expedition|emetteur) … (refuse|invalide|bloque|inconnu|rejete)",
    r"absender\w* … (abgelehnt|gesperrt|blockiert|unbekannt|ungultig)",
    r"remitente … (rechazado|bloqueado|no valido)",
    r"mittente … (rifiutato|bloccato|non valido)",
    r"remetente … (rejeitado|bloqueado|invalido)",
)

MAILBOX_FULL: Final = (
    r"(boite|bal|messagerie|compte|destinataire) … (pleine?|saturee?)\b",
    r"(quota|espace) … (depasse|atteint|insuffisant)",
    r"(depass|excede)\w* … quota",
    r"(postfach|mailbox|posteingang|briefkasten)\w* … (voll\b|uberfullt|ubergelaufen)",
    r"(speicher|quota|kontingent|speicherplatz)\w* … (uberschritten|erschopft|voll\b|erreicht)",
    r"buzon … lleno",
    r"(cuota|espacio) … (excedid|superad|insuficiente|agotad)",
    r"(supera|excede)\w* … cuota",
    r"casella … piena",
    r"quota … superat",
    r"caixa … cheia",
    r"(cota|limite|espaco) … (excedid|atingid|insuficiente)",
    r"(mailbox|postvak) … vol\b",
    r"skrzynk\w+ … (pe[lł]na|przepe[lł]nion)",
    r"(brevlada|postkasse|postboks|innboks|indbakke)\w* … (full|fuld)",
    r"(ящик|почт)\S* … (переполнен|полон)",
    r"переполнен",
    r"(邮箱|信箱|郵箱)\S{0,4}(已?满|已?滿|空间不足)",
    r"\S{0,6}超出\S{0,4}(容量|配额)",
    r"\S{0,12}(一杯です|いっぱい|満杯|容量を超え|容量超過)",
    r"\S{0,8}(용량|한도) ?초과",
    r"posta kutusu … dolu",
)

BAD_DOMAIN: Final = (
    r"(nom de )?domaine … (inconnu|introuvable|inexistant|n'existe|invalide)",
    r"(unbekannte|ungultige)\w* domain",
    r"domain\w* … (unbekannt|existiert nicht|nicht gefunden|ungultig)",
    (
        r"dominio … (desconocido|no existe|no encontrado|inexistente|sconosciuto|non esiste|"
        r"non trovato)"
    ),
    r"dominio … (nao existe|nao encontrado|invalido)",
    r"domein … (bestaat niet|onbekend)",
    r"домен\S* … не (существует|найден)",
    r"域名(不存在|无效|错误)",
)

INVALID_RECIPIENT: Final = (
    (
        r"(utilisateur|destinataire|compte|adresse|boite|usager|abonne|"
        r"correspondant)s?\b … (inconnu|"
        r"introuvable|inexistant|invalide|n'existe|n existe|non (trouve|valide|reconnu|existant)|"
        r"incorrect|"
        r"pas (ete )?(trouve|reconnu|valide))"
    ),
    r"n'?n? ?existe (pas|plus)\b",
    r"(l')?(adresse|utilisateur|destinataire) … (n'a pas ete trouve|est introuvable)",
    r"(n'a pas|n'ont pas) (pu )?(ete|etre) trouve",
    r"non repertorie",
    r"aucun (utilisateur|compte|destinataire)",
    r"(est|sont) introuvables?",
    (
        r"(empfanger|benutzer|adressat|postfach|adresse|mailadresse|e-mail-adresse|nutzer|konto|"
        r"account|"
        r"teilnehmer)\w* … (unbekannt|nicht (gefunden|bekannt|vorhanden|existier|gultig|"
        r"verfugbar|ermittelt)|"
        r"existiert|ungultig)"
    ),
    r"(unbekannte|ungultige|falsche)\w* (empfanger|benutzer|adress|nutzer|mailbox|teilnehmer)",
    r"existiert (hier |leider )?nicht",
    r"kein\w* (solche\w* |gultige\w* )?(benutzer|empfanger|postfach|mailbox|konto|account)",
    (
        r"(usuario|destinatario|buzon|cuenta|direccion|correo)\w* … (desconocid|no (existe|"
        r"encontrad|valid|"
        r"se (ha |pudo )?enc\w+)|inexistente|invalid)"
    ),
    r"no existe\b",
    r"no se (ha )?(encontro|encontrado|pudo encontrar)",
    (
        r"(utente|destinatario|casella|indirizzo|account)\w* … (sconosciut|inesistente|"
        r"non (esiste|trovat|valid|"
        r"e stat\w trovat)|errato)"
    ),
    r"non (esiste|e stato trovato)",
    (
        r"(usuario|destinatario|caixa|endereco|conta)\w* … (desconhecid|nao (existe|encontrad|"
        r"foi encontrad|"
        r"pode ser encontrad)|inexistente|invalid)"
    ),
    r"nao existe\b",
    (
        r"(gebruiker|ontvanger|postvak|mailbox|e-mailadres|adres)\w* … (onbekend|bestaat niet|"
        r"niet gevonden|"
        r"ongeldig)"
    ),
    r"bestaat niet",
    r"onbekende (gebruiker|ontvanger)",
    r"nie istnieje",
    r"nie (mozna )?(odnalez|znalez)\w+ … (adres|odbiorc)",
    r"(nieznany|niepoprawny) (uzytkownik|odbiorca|adres)",
    r"uzytkownik nieznany",
    r"(okand|ukendt|ukjent) (anvandare|mottagare|bruger|modtager|bruker|mottaker|adress)",
    r"(finns|findes|finnes|eksisterer) (inte|ikke)",
    r"(adressen|mottagaren|modtageren) … (inte hitta|ikke fundet|hittades inte)",
    r"tuntematon (vastaanottaja|kayttaja)",
    r"(neznamy (uzivatel|prijemce)|neexistuje)",
    r"(нет такого|неизвестн|такой (пользователь|адрес)|не существует)",
    r"(пользовател|адресат|получател|ящик|адрес)\S* … не (найден|существует|зарегистрирован)",
    r"\S{0,8}(用户|收件人|邮箱|帐号|账号|账户|地址|信箱|郵箱|使用者|收件者)\S{0,8}(不存在|未找到|无效|不正确|找不到|未知)",
    r"\S{0,8}(无此|没有此|没有这个|不存在的|查无此)(用户|收件人|邮箱|人|帐号)",
    r"\S{0,20}(ディレクトリ|リスト)\S{0,20}(ありません|見つかりません)",
    r"\S{0,20}(宛先|ユーザ|アドレス|受信者)\S{0,20}(存在しません|見つかりません|存在しない|不明|無効)",
    r"\S{0,20}(존재하지 ?않|없는 (사용자|계정|주소)|찾을 수 없)",
    r"(kullanici|alici|adres)\w* … (bulunamadi|yok\b|bilinmiyor|gecersiz)",
)

INACTIVE: Final = (
    (
        r"(boite|compte|messagerie|adresse|bal|destinataire|utilisateur)\b … (desactive|"
        r"inacti[fv]|suspendu|"
        r"bloque|ferme|archive|resilie|supprime)"
    ),
    (
        r"(postfach|konto|account|benutzer|empfanger|adresse)\w* … (deaktiviert|gesperrt|inaktiv|"
        r"stillgelegt|"
        r"geloscht)"
    ),
    (
        r"(cuenta|buzon|usuario)\b … (deshabilitad|desactivad|inactiv|suspendid|bloquead|cerrad|"
        r"eliminad)"
    ),
    r"(casella|account|utente)\b … (disabilitat|disattivat|sospes|inattiv|chius)",
    r"(conta|caixa|usuario)\b … (desativad|inativ|suspens|bloquead|cancelad|encerrad)",
    r"(mailbox|account|postvak)\b … (geblokkeerd|uitgeschakeld|opgeheven)",
    r"konto … (zablokowan|nieaktywn)",
    r"(ящик|аккаунт|пользовател)\S* … (заблокирован|отключен|удален)",
    r"\S{0,6}(用户|邮箱|帐号|账号)\S{0,4}(停用|禁用|冻结|锁定|注销|暂停|被封)",
)

TOO_LARGE: Final = (
    r"(message|courrier|mail|courriel|piece jointe)\b … trop (gros|volumineux|grand|lourd)",
    r"taille … (depasse|maximal|limite)",
    r"(nachricht|mail|e-mail|anhang)\w* … zu (gro|lang)",
    r"(nachrichtengro|maximale? gro)\w*",
    r"(mensaje|tamano)\b … (demasiado grande|excede|supera)",
    r"(messaggio|dimensione)\b … (troppo grande|supera|eccede)",
    r"(mensagem|tamanho)\b … (muito grande|excede)",
    r"(bericht|mail)\b … te groot",
    r"\S{0,4}邮件\S{0,4}(太大|过大|超过)",
)

CONTENT: Final = (
    r"piece jointe … (interdite|refusee|bloquee)",
    r"(anhang|dateianhang)\w* … (verboten|nicht erlaubt|blockiert|abgelehnt)",
    r"adjunto … (no permitido|prohibido|bloqueado)",
    r"allegato … (non consentito|bloccato)",
    r"\S{0,8}(病毒|ウイルス)",
    r"вирус",
)

REPUTATION: Final = (
    r"adresse ip … (bloque|refuse|liste)",
    r"liste noire",
    r"(ip|server)\S* … (gesperrt|blockiert|geblockt)",
    r"(lista negra|lista nera)",
)

SPAM: Final = (
    r"(mail|message) rejete",
    r"indesirable",
    r"(unerwunschte|werbung)\w*",
    r"correo no deseado",
    r"posta indesiderata",
    r"nao solicitad",
    r"\S{0,8}(垃圾邮件|垃圾信|迷惑メール|스팸)",
    r"спам",
)

RATE: Final = (
    r"trop de (connexion|message|destinataire|mail|courriel|requete)",
    r"(zu viele|demasiad[ao]s|troppi|troppe|muitas|muitos|te veel)\b",
    r"слишком много",
    r"\S{0,8}(过于频繁|频率)",
)

REFUSED: Final = (
    r"refuse(e|s)?\b",
    r"(abgelehnt|verweigert|zuruckgewiesen)",
    r"(rechazad|denegad|rifiutat|rejeitad|recusad|negad)",
    r"(geweigerd|odrzucon|avvisad|afvist)",
    r"отклонен",
    r"\S{0,8}(拒绝|拒收|拒信|拒否|거부)",
)

EXPIRED: Final = (
    r"delai … (depasse|expire)",
    r"(zustell|nachricht)\w* … abgelaufen",
    r"(ha caducado|expirado|scadut)",
)

CONNECTION: Final = (
    r"connexion … (refusee|interrompue|impossible|expiree|perdue)",
    r"verbindung\w* … (fehlgeschlagen|unterbrochen|nicht moglich|abgebrochen)",
)

SERVER_ERROR: Final = (
    r"(systemfehler|serverfehler)",
    r"erreur (systeme|interne|temporaire|technique)",
    r"error (interno|del sistema|de sistema)",
    r"errore (interno|di sistema|temporaneo)",
    r"service (refuse|indisponible)",
    r"veuillez (re)?essayer",
    r"(vorubergehend|temporairement|temporalmente)",
)
